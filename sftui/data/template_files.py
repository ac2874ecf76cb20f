"""Where chat templates come from: a model's files, ours, or a file that the recipe names."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from sftui.data.template import PLAIN_TEXT, ChatTemplate, ChatTemplates
from sftui.errors import InputError, shorten

OURS = ("chatml", "llama2", "gemma", "mistral", "plain", "raw")

_PLACES = "chat_template.jinja, additional_chat_templates, tokenizer_config.json, chat_template.json"
_KEY = "data.chat_template"

# What ends a turn in templates that are not the model's own, whether or not it is a token of the model.
_TURN_ENDS = frozenset({"<|im_end|>", "<end_of_turn>", "<|eot_id|>", "<|end|>"})


def load_templates(
    model: str,
    directory: Path,
    config: Mapping[str, Any],
    chosen: str | None,
    *,
    special_tokens: Mapping[str, str],
    special_strings: frozenset[str],
    begins_text: bool,
    now: datetime,
) -> ChatTemplates:
    """The templates of the model in `directory`, and the one that is `chosen` by name or path, if any.

    `config` is its tokenizer_config.json. `begins_text`: its tokenizer puts the bos_token before a plain
    text; only then do templates that are not the model's own write it. Raises InputError if a file cannot be
    read, and if there is no template `chosen`.
    """
    own = {
        name: ChatTemplate(text, special_tokens, special_strings, now, name)
        for name, text in _read_own(directory, config).items()
    }
    left_out = () if begins_text else ("bos_token",)
    tokens = {name: token for name, token in special_tokens.items() if name not in left_out}

    def foreign(name: str, text: str, file: str | None = None) -> ChatTemplate:
        ends = frozenset(end for end in _TURN_ENDS if end in text)
        return ChatTemplate(
            text, tokens if file is None else special_tokens, special_strings | ends, now, name, file
        )

    template = None
    if chosen is not None:
        if chosen in own:
            template = own[chosen]
        elif chosen in OURS:
            template = foreign(chosen, our_template(chosen))
        elif _is_path(chosen):
            template = foreign(Path(chosen).name, read_template(Path(chosen)), chosen)
            template.check()
        else:
            raise _unknown(chosen, [*own, *(name for name in OURS if name not in own)])
    return ChatTemplates(own, f"{_PLACES} of {model}", template, foreign("text", PLAIN_TEXT))


def available_names(templates: ChatTemplates) -> tuple[str, ...]:
    """The names that a recipe can choose from: the model's own templates, then ours."""
    return (*templates.by_name, *(name for name in OURS if name not in templates.by_name))


def require_template(chosen: str, directory: Path | None) -> None:
    """Raise InputError if there is no template `chosen` by path or name, ours or of the model in `directory`.

    Any name may be one of a model that is not here (None). A model's files are read only for its own names.
    """
    if _is_path(chosen):
        if not Path(chosen).is_file():
            read_template(Path(chosen))
    elif chosen not in OURS and directory is not None:
        own = _read_own(directory, read_object(directory / "tokenizer_config.json"))
        if chosen not in own:
            raise _unknown(chosen, [*own, *(name for name in OURS if name not in own)])


@cache
def our_template(name: str) -> str:
    """The text of one of OURS."""
    return files("sftui.data.chat_templates").joinpath(f"{name}.jinja").read_text(encoding="utf-8")


def read_template(path: Path) -> str:
    """The text of a template; raises InputError if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError("no such file: expected a Jinja template", file=path, key=_KEY) from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read as text: {error}", file=path) from error


def _is_path(chosen: str) -> bool:
    return chosen.endswith((".jinja", ".jinja2", ".j2")) or "/" in chosen or Path(chosen).is_file()


def _unknown(chosen: str, names: list[str]) -> InputError:
    close = difflib.get_close_matches(chosen, names, n=1)
    return InputError(
        f"no chat template {shorten(chosen)}: expected null (the model's own), {', '.join(names)}, "
        "or the path of a .jinja file",
        key=_KEY,
        hint=f"did you mean {close[0]}?" if close else None,
    )


def _read_own(directory: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """Chat templates by name. Files of their own win over the configuration, as in transformers."""
    paths = {path.stem: path for path in sorted((directory / "additional_chat_templates").glob("*.jinja"))}
    if (directory / "chat_template.jinja").is_file():
        paths["default"] = directory / "chat_template.jinja"
    if paths:
        return {name: read_template(path) for name, path in paths.items()}
    # Processors of multimodal models keep theirs in chat_template.json.
    found = config.get("chat_template") or read_object(directory / "chat_template.json").get("chat_template")
    if isinstance(found, list) and all(isinstance(entry, dict) for entry in found):
        found = {entry.get("name"): entry.get("template") for entry in found}
    templates = found if isinstance(found, dict) else {"default": found} if found else {}
    if not all(isinstance(name, str) and isinstance(text, str) for name, text in templates.items()):
        raise InputError(
            f"found {shorten(found)}: expected a template, or a list of {{name: .., template: ..}}",
            file=directory,
            key="chat_template",
        )
    return templates


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; empty if there is no such file. Raises InputError for anything else."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot be read as JSON: {error}", file=path) from error
    if not isinstance(value, dict):
        raise InputError("expected a JSON object", file=path)
    return value
