"""The recipe reference, `docs/recipe.md`: made from the typed model by `python -m sftui.recipe_reference`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from sftui.recipe_fields import FIELDS, SECTIONS, FieldInfo, source_fields
from sftui.recipe_values import format_value

_INTRO = """\
# The recipe

<!-- Made from the typed model. Do not edit: python -m sftui.recipe_reference docs/recipe.md -->

A recipe is a YAML file that holds everything that determines a run. Only `model.name_or_path` and
`data.train` must be given; every other field has a default, which is what a practitioner would choose for
QLoRA on one GPU.

```yaml
model:
  name_or_path: HuggingFaceTB/SmolLM2-135M-Instruct
data:
  train: train.jsonl
```

Any field can be set on the command line too, under its dotted key: `training.learning_rate=1e-4`,
`data.train.0.limit=100`, `adapter=null`. Paths in a recipe are relative to its file, those on the command
line to the current directory. Names are those of `transformers.TrainingArguments`, `peft.LoraConfig` and
`transformers.BitsAndBytesConfig` where they exist.
"""

_NOTES = {
    "data": "`train` and `eval` take a path, a list of paths, or a list of [sources](#sources). One of "
    "`eval` and `eval_fraction` holds rows out.",
    "training": "The effective batch is `per_device_train_batch_size` x `gradient_accumulation_steps` x "
    "`num_processes`. Steps below 1 are shares of all steps, as in transformers 5.",
}

_SOURCES = """\
Where rows come from: an item of `data.train` or `data.eval`. A path alone is short for `{path: ..}`."""

_NOUNS = {
    "switch": "`true` or `false`",
    "integer": "whole number",
    "number": "number",
    "text": "text",
    "path": "path",
    "model": "Hub id or path",
    "list": "list",
    "sources": "[sources](#sources)",
    "mapping": "mapping",
}


def reference() -> str:
    """The page as Markdown, ended by a newline."""
    parts = [_INTRO]
    for section in SECTIONS:
        if section.key:
            about = " ".join(filter(None, (section.about, _NOTES.get(section.key))))
            parts.append(_page(f"`{section.key}`", about, section.fields))
    parts.append(_page("Sources", _SOURCES, source_fields()))
    top = [field for field in FIELDS if not field.section]
    parts.append(_page("At the top", "Beside the sections.", top))
    return "\n".join(parts)


def _page(title: str, about: str, fields: Iterable[FieldInfo]) -> str:
    return "\n".join([f"## {title}", "", about, "", *map(_entry, fields)])


def _entry(field: FieldInfo) -> str:
    default = "required" if field.required else f"default `{format_value(field, field.default)}`"
    lines = [f"### `{field.name}`", "", f"{_type(field)}; {default}", "", field.what, ""]
    lines += [f"- When to change it: {field.when}"] if field.when else []
    lines += [f"- Usual: {field.usual}"] if field.usual else []
    return "\n".join([*lines, ""])


def _type(field: FieldInfo) -> str:
    """What the field may hold: `number > 0`, `whole number, 1 to 64`."""
    if field.kind == "choice":
        text = ", ".join(f"`{choice}`" for choice in field.choices)
    else:
        text = _NOUNS[field.kind] + _bounds(field)
    if field.unit:
        text += f" ({field.unit})"
    if field.or_text:
        text += " or text"
    return f"{text}, or `null`" if field.optional else text


def _bounds(field: FieldInfo) -> str:
    low, high = field.minimum, field.maximum
    if low is not None and high is not None and not (field.above_minimum or field.below_maximum):
        return f", {low:,.16g} to {high:,.16g}"
    words = []
    if low is not None:
        words.append(f"{'above' if field.above_minimum else 'at least'} {low:,.16g}")
    if high is not None:
        words.append(f"{'below' if field.below_maximum else 'at most'} {high:,.16g}")
    return f", {', '.join(words)}" if words else ""


def main(arguments: list[str]) -> None:
    """Print the page, or write it to the path that is given."""
    if arguments:
        Path(arguments[0]).write_text(reference(), encoding="utf-8")
    else:
        sys.stdout.write(reference())


if __name__ == "__main__":
    main(sys.argv[1:])
