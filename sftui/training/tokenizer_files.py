"""The tokenizer's files of a result: those of the model it was made from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from sftui.data.model_files import SMALL_FILES
from sftui.data.template import ChatTemplate

CONFIG = "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"


def standalone(template: ChatTemplate, special_tokens: Mapping[str, str]) -> str:
    """The text of `template` for those who render it with all `special_tokens` of the model as variables.

    One of ours is not told the bos_token of a model that begins no text with it; elsewhere it would be.
    """
    withheld = [name for name in special_tokens if name not in template.special_tokens]
    return "".join(f"{{%- set {name} = '' %}}" for name in withheld) + template.text


def write_tokenizer(base: Path, result: Path, chat_template: str | None) -> None:
    """Copy the tokenizer's files from the model directory `base` to `result`, unchanged.

    With `chat_template`, the text of a template used instead of the model's own, none of the model's
    go along: whatever loads the result then renders conversations as they were trained.
    """
    names = [name for name in SMALL_FILES if name not in ("config.json", "generation_config.json")]
    if chat_template is not None:
        # A file of named templates would join the default one, and win for conversations with tools.
        names = [name for name in names if "chat_template" not in name]
    for file in (file for name in names for file in base.glob(name)):
        target = result / file.relative_to(base)
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, target)
    if chat_template is not None:
        (result / TEMPLATE).write_text(chat_template, encoding="utf-8")
        _replace_template(result / CONFIG, chat_template)


def _replace_template(config: Path, chat_template: str) -> None:
    """Where the configuration has a template as well: transformers reads the file, some tools read this."""
    values = json.loads(config.read_bytes()) if config.is_file() else {}
    if "chat_template" in values:
        values["chat_template"] = chat_template
        config.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
