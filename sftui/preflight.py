"""What can be seen to be wrong before a run is made: paths, first rows, tokenizer, model files."""

from __future__ import annotations

import difflib
import json
import os
from pathlib import Path

from sftui.data.conversation import Conversation
from sftui.data.formats import read_conversation
from sftui.data.hold_out import held_out_count
from sftui.data.sources import Rows, open_rows
from sftui.data.tokenizer import load_tokenizer
from sftui.errors import InputError
from sftui.packing_support import refusal
from sftui.recipe import BadRows, Recipe, Source


def check(recipe: Recipe) -> None:
    """Raise `InputError` for what would end the run in its first seconds anyway.

    Reads no more than the first row of each source and the tokenizer; a model on the Hub is not
    downloaded for it, nor is a dataset.
    """
    data = recipe.data
    opened = [(source, open_rows(source, wait=False)) for source in (*data.train, *data.eval)]
    conversations = [_first_conversation(source, rows, data.bad_rows) for source, rows in opened]
    if data.eval_fraction and all(rows.complete for _, rows in opened):
        held_out_count(sum(len(rows) for _, rows in opened), data.eval_fraction)
    name = recipe.model.name_or_path
    folder = Path(name)
    if folder.is_absolute():
        _check_model_folder(folder)
        if data.packing != "none":
            _check_packing(folder)
        tokenizer = load_tokenizer(name, recipe.model.revision, chat_template=data.chat_template)
        for conversation in filter(None, conversations):
            tokenizer.templates.choose(conversation)


def _first_conversation(source: Source, rows: Rows, bad_rows: BadRows) -> Conversation | None:
    """The first row; None if it may be left out, or if there is none yet (of a Hub dataset)."""
    if not len(rows):
        return None
    try:
        return read_conversation(rows[0], source, rows.where(0))
    except InputError:
        if bad_rows == "drop":
            return None
        raise


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208
    except OSError:
        return []


def _check_model_folder(folder: Path) -> None:
    if not os.path.isdir(folder):  # noqa: PTH112 -- False, not an error, for a name that is too long
        near = difflib.get_close_matches(folder.name, _names_in(folder.parent), n=1)
        raise InputError(
            "there is no such directory",
            file=folder,
            key="model.name_or_path",
            hint=f"did you mean {near[0]}?"
            if near
            else "expected a model directory or a Hub id (owner/name)",
        )
    if not (folder / "config.json").is_file():
        raise InputError(
            "has no config.json: expected a model in Hugging Face layout",
            file=folder,
            key="model.name_or_path",
        )
    if not any(folder.glob("*.safetensors")) and not any(folder.glob("*.bin")):
        raise InputError("has no weights (*.safetensors or *.bin)", file=folder, key="model.name_or_path")


def _check_packing(folder: Path) -> None:
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return  # said better when the model is loaded
    reason = refusal(config) if isinstance(config, dict) else None
    if reason is not None:
        raise InputError(
            f"this model cannot be packed: {reason}",
            file=folder,
            key="data.packing",
            hint="expected packing: none",
        )
