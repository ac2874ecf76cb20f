"""A recipe in the making: its values, each with why it is so, and as a text with comments."""

from __future__ import annotations

import io
import os
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from sftui.data.sources.paths import is_hub_id
from sftui.printable import printable
from sftui.recipe import (
    AdapterSection,
    DataSection,
    ModelSection,
    Recipe,
    Section,
    Source,
    TrainingSection,
)
from sftui.recipe_override import put
from sftui.words import typed

WIDTH = 100  # columns of the file

_SECTIONS: dict[str, type[Section]] = {
    "model": ModelSection,
    "adapter": AdapterSection,
    "data": DataSection,
    "training": TrainingSection,
}
_PLAIN = re.compile(r"[A-Za-z_./~][\w./~+-]*", re.ASCII)


class Draft:
    """Values by dotted key. Those in `given` are somebody's own, and stay as they are."""

    def __init__(self, sources: Sequence[Source], given: Mapping[str, Any]) -> None:
        self._sources, self._given = tuple(sources), dict(given)
        self._values: dict[str, Any] = {}
        self._why: dict[str, str] = {}
        self.full = False
        """Whether all weights are trained: there is no adapter."""
        self.as_made = ""
        """Numbers that follow from several values, for the head: beside one they would not stay true."""

    def has(self, key: str) -> bool:
        """Whether the value of `key` is given."""
        return key in self._given

    def set(self, key: str, value: Any, why: str = "") -> None:
        """Set a value unless another is given; `why` becomes its comment."""
        self._values[key] = value
        self._why[key] = why

    def value(self, key: str) -> Any:
        """What is given or set; None for neither."""
        return self._given.get(key, self._values.get(key))

    def recipe(self) -> Recipe:
        """The recipe of these values."""
        tree: dict[str, Any] = {"data": {"train": [source.model_dump() for source in self._sources]}}
        for key, value in {**self._values, **self._given}.items():
            if not (self.full and key.startswith("adapter.")):
                put(tree, tuple(key.split(".")), value)
        if self.full:
            tree["adapter"] = None
        return Recipe.model_validate(tree)

    def text(self, head: Sequence[str], folder: Path) -> str:
        """As YAML: comments of `head` first, paths below `folder` relative to it."""
        lines = [line for each in head for line in _comment(each, "")]
        values = {**self._values, **self._given}
        for name, section in _SECTIONS.items():
            if name == "adapter" and self.full:
                lines += _commented("adapter: null", self._why.get("adapter", ""), "")
                continue
            lines.append(f"{name}:")
            if name == "data":
                lines += _source_lines(self._sources, folder)
            for field in section.model_fields:
                key = f"{name}.{field}"
                if key in values:
                    why = "as given" if key in self._given else self._why[key]
                    value = _relative(values[key], folder) if key == "data.eval" else scalar(values[key])
                    lines += _commented(f"  {field}: {value}", why, "  ")
        if "output_dir" in values:
            lines += _commented(f"output_dir: {scalar(values['output_dir'])}", "as given", "")
        return "\n".join(lines) + "\n"


def path_from(path: str, folder: Path) -> str:
    """How a file in `folder` names `path`: relative where it is below that folder."""
    if not os.path.isabs(path):  # noqa: PTH117 -- a Hub id is no path
        return path
    relative = os.path.relpath(path, folder)
    return path if relative.startswith("..") or is_hub_id(relative) else relative


def _source_lines(sources: Sequence[Source], folder: Path) -> Iterator[str]:
    plain = [source.model_dump(exclude_defaults=True) for source in sources]
    for each in plain:
        each["path"] = path_from(each["path"], folder)
    if len(plain) == 1 and plain[0].keys() == {"path"}:
        yield f"  train: {scalar(plain[0]['path'])}"
        return
    yield "  train:"
    for each in plain:
        for number, (key, value) in enumerate(each.items()):
            yield f"    {'  ' if number else '- '}{key}: {scalar(value)}"


def _relative(sources: Sequence[Source], folder: Path) -> str:
    plain = [source.model_dump(exclude_defaults=True) for source in sources]
    return scalar([each | {"path": path_from(each["path"], folder)} for each in plain])


def _commented(line: str, why: str, indent: str) -> list[str]:
    """A line with its comment behind it, or above it where it is too long for that."""
    if not why:
        return [line]
    if len(line) + len(why) + 4 <= WIDTH:
        return [f"{line}  # {why}"]
    return [*_comment(why, indent), line]


def _comment(text: str, indent: str) -> list[str]:
    if not text:
        return [f"{indent}#"]
    # What stands behind a colon and spaces is continued below itself.
    hang = re.match(r"[A-Z][a-z]+: +", text)
    rest = f"{indent}# {' ' * (hang.end() if hang else 0)}"
    return textwrap.wrap(
        printable(text), WIDTH, initial_indent=f"{indent}# ", subsequent_indent=rest, break_on_hyphens=False
    )


def scalar(value: Any) -> str:
    """A value as YAML writes it within a line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(str(key))}: {scalar(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(scalar, value)) + "]"
    return _string(str(value))


def _number(value: float) -> str:
    if value and abs(value) < 1e-3:
        mantissa, _, exponent = f"{value:.6e}".partition("e")
        digits = mantissa.rstrip("0")
        return f"{digits}{'0' if digits.endswith('.') else ''}e{int(exponent)}"
    return repr(typed(value))


def _string(text: str) -> str:
    if _PLAIN.fullmatch(text) and YAML(typ="safe", pure=True).load(text) == text:
        return text
    out = io.StringIO()
    yaml = YAML(typ="rt")
    yaml.width = 2**20
    yaml.dump([DoubleQuotedScalarString(text)], out)
    return out.getvalue().removeprefix("- ").rstrip("\n")
