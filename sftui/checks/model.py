"""Whether the model is there, and can be trained so."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sftui.checks.facts import Facts
from sftui.checks.finding import Finding, found, refused
from sftui.data.model_files import is_hub_model
from sftui.errors import InputError, shorten
from sftui.memory.stored import refusal_of_stored, stored_values
from sftui.packing_support import refusal

_KEY = "model.name_or_path"
_ATTENTION = "model.attn_implementation"
_OTHERS = "expected auto, sdpa or eager"


def model_findings(facts: Facts) -> Iterator[Finding]:
    """About the model itself."""
    yield from _whether_it_is_there(facts)
    if facts.recipe.model.trust_remote_code:
        text = "true: Python code that comes with the model is run with your rights"
        hint = "set it only for a model whose files you have read, at a model.revision of your choice"
        yield found("remote-code", "model.trust_remote_code", text, hint)
    yield from _stored(facts)
    yield from _positions(facts)
    if facts.recipe.data.packing != "none":
        yield from _packing(facts)


def require_model(folder: Path) -> None:
    """Raise `InputError` where a directory is not there or holds no model."""
    if not os.path.isdir(folder):  # noqa: PTH112 -- False, not an error, for a name that is too long
        near = _nearest(folder)
        raise InputError(
            "there is no such directory",
            file=folder,
            key=_KEY,
            hint=f"did you mean {near}?" if near else "expected a model directory or a Hub id (owner/name)",
        )
    if not (folder / "config.json").is_file():
        raise InputError("has no config.json: expected a model in Hugging Face layout", file=folder, key=_KEY)
    if not any(folder.glob("*.safetensors")) and not any(folder.glob("*.bin")):
        raise InputError("has no weights (*.safetensors or *.bin)", file=folder, key=_KEY)


def _nearest(folder: Path) -> str | None:
    try:
        names = os.listdir(folder.parent)  # noqa: PTH208
    except OSError:
        return None
    return next(iter(difflib.get_close_matches(folder.name, names, n=1)), None)


def _whether_it_is_there(facts: Facts) -> Iterator[Finding]:
    name = facts.recipe.model.name_or_path
    folder = Path(name)
    if folder.is_absolute():
        try:
            require_model(folder)
        except InputError as error:
            near = None if os.path.isdir(folder) else _nearest(folder)  # noqa: PTH112
            yield refused("model-missing", _KEY, error, {_KEY: str(folder.parent / near)} if near else None)
    elif not is_hub_model(name):
        problem = f"found {shorten(name)}, which is neither a directory nor a Hub id (owner/name)"
        yield found("model-missing", _KEY, problem)
    elif facts.folder is None:
        text = "is not on this machine: it is downloaded when the run begins"
        if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
            text = "is not on this machine, and HF_HUB_OFFLINE forbids to download it"
        yield found("model-not-here", _KEY, text, f"to have it before: hf download {name}")


def _stored(facts: Facts) -> Iterator[Finding]:
    """Weights that are stored quantised otherwise than the recipe says."""
    error = refusal_of_stored(facts.config or {}, facts.recipe.model)
    if error is not None:
        wanted = stored_values(facts.config or {}) if error.key == "model.quantization" else None
        yield refused("stored-quantised", "model.quantization" if wanted else _KEY, error, wanted)


def _positions(facts: Facts) -> Iterator[Finding]:
    """Sequences longer than the model was made for."""
    config = facts.config or {}
    nested = config.get("text_config")
    section = nested if isinstance(nested, dict) else config
    most = section.get("max_position_embeddings")
    length = facts.recipe.data.max_length
    if type(most) is not int or most < 2:
        return
    most = round(most * _stretch(section))
    if length > most:
        yield found(
            "beyond-positions",
            "data.max_length",
            f"found {length:,}, and the model was made for at most {most:,} tokens",
            "what comes later it has never seen; expected a shorter length, or a model with a longer context",
            {"data.max_length": most},
        )


def _stretch(section: Mapping[str, Any]) -> float:
    """How many times its positions a model reaches by the scaling in its config.json."""
    for key in ("rope_scaling", "rope_parameters"):
        rope = section.get(key)
        # Other kinds have the longer context in max_position_embeddings already.
        if isinstance(rope, dict) and (rope.get("rope_type") or rope.get("type")) in (
            "yarn",
            "linear",
            "dynamic",
        ):
            factor = rope.get("factor")
            return max(1.0, factor) if isinstance(factor, int | float) else 1.0
    return 1.0


def _packing(facts: Facts) -> Iterator[Finding]:
    wanted = facts.recipe.model.attn_implementation
    reason = None if facts.config is None else refusal(facts.config)
    if reason is not None:
        yield found(
            "packing-refused",
            "data.packing",
            f"this model cannot be packed: {reason}",
            "expected packing: none",
            {"data.packing": "none", "data.repack_each_epoch": False},
        )
        return
    capped = facts.shape is not None and facts.shape.attention_softcap is not None
    if wanted == "varlen" and capped:
        text = "found varlen, but the attention of this model caps its scores"
        yield found(
            "attention-capped", _ATTENTION, text, "expected auto, sdpa or eager", {_ATTENTION: "auto"}
        )
    if wanted in ("sdpa", "eager"):
        yield found(
            "packing-masked",
            _ATTENTION,
            f"found {wanted}: with packing its work grows with the square of the bin, masked parts and all",
            "auto attends within each sequence only",
            {_ATTENTION: "auto"},
        )
