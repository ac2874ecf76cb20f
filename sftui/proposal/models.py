"""Models that a recipe can be proposed for: named, in the Hub cache, or open ones of today."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftui.data.template_files import read_object
from sftui.doctor_checks import hub_cache
from sftui.errors import InputError
from sftui.known_models import MODELS, known_model
from sftui.memory.config_file import config_file, read_config, shape_of
from sftui.memory.shape import ModelShape

_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model by Hub id or directory.

    `shape` is None where the closed form does not know its family. `at_hand`: its tokenizer is on this
    machine; `cached`: its weights too. `gated`: its licence is accepted on the Hub before it can be had.
    """

    name: str
    config: Mapping[str, Any]
    shape: ModelShape | None
    at_hand: bool
    cached: bool
    gated: bool = False

    @property
    def short_name(self) -> str:
        """Without owner or folder."""
        return self.name.rstrip("/").rsplit("/", 1)[-1]

    @property
    def context(self) -> int | None:
        """The longest sequence that it was made for; None where its configuration does not tell."""
        text = self.config.get("text_config")
        for section in (self.config, text if isinstance(text, Mapping) else {}):
            found = section.get("max_position_embeddings")
            if isinstance(found, int) and not isinstance(found, bool) and found >= 2:
                return found
        return None


def named_model(name: str, revision: str | None = None) -> Candidate:
    """The model that somebody names; a folder that is there, else a Hub id.

    Its own config.json wins, where that is on this machine; of a well-known model nothing is downloaded, of
    others the small files are. Raises InputError where there is no such model.
    """
    folder = Path(name).expanduser()
    local = folder.is_dir()
    known = None if local or revision else known_model(name)
    snapshot = folder.resolve() if local else _snapshot(name, revision)
    config: Mapping[str, Any]
    shape: ModelShape | None
    if known is not None and snapshot is None:
        config, shape = known.config, known.shape
    else:
        if snapshot is None or (known is None and not local and not _has_tokenizer(snapshot)):
            snapshot = config_file(name, revision).parent
        config = read_config(config_file(str(snapshot)))
        found = shape_of(config, file=name)
        shape = found if isinstance(found, ModelShape) else None
    return Candidate(
        name=str(folder.resolve()) if local else name,
        config=config,
        shape=shape,
        at_hand=snapshot is not None and _has_tokenizer(snapshot),
        cached=snapshot is not None and _has_weights(snapshot),
        gated=known is not None and known.gated and snapshot is None,
    )


def offered_models() -> list[Candidate]:
    """Open ones of today that ask for no licence, the largest first."""
    found = []
    for model in reversed(MODELS):
        if model.offered:
            with suppress(InputError):  # what is in the cache under this name is no such model
                found.append(named_model(model.name))
    return found


def cached_models() -> list[Candidate]:
    """Chat models of known families that are whole in the Hub cache, the largest first."""
    return sorted(_cached(), key=lambda model: -parameters(model))


def parameters(model: Candidate) -> int:
    """About how many it has; 0 where its family is not known."""
    shape = model.shape
    if shape is None:
        return 0
    experts = 1 if shape.experts is None else shape.experts.count
    attention = 2 * shape.hidden * (shape.q_size + shape.kv_size)
    size = shape.intermediate if shape.experts is None else shape.experts.intermediate
    mlp = 3 * shape.hidden * size * experts
    return len(shape.layers) * (attention + mlp) + (1 if shape.tied else 2) * shape.vocab * shape.hidden


def has_chat_template(folder: Path) -> bool:
    """Whether a model's folder has a chat template of its own. Raises InputError if it cannot be read."""
    if (folder / "chat_template.jinja").is_file() or any(folder.glob("additional_chat_templates/*.jinja")):
        return True
    return bool(read_object(folder / "tokenizer_config.json").get("chat_template"))


def _cached() -> Iterator[Candidate]:
    try:
        folders = sorted(hub_cache(os.environ).glob("models--*--*"))
    except (OSError, RuntimeError):  # RuntimeError: no home directory
        return
    for folder in folders:
        name = folder.name.removeprefix("models--").replace("--", "/", 1)
        with suppress(InputError, OSError):
            snapshot = _snapshot(name, None)
            if snapshot is None or not _has_tokenizer(snapshot) or not _has_weights(snapshot):
                continue
            config = read_config(snapshot / "config.json")
            shape = shape_of(config, file=name)
            if isinstance(shape, ModelShape) and has_chat_template(snapshot):
                yield Candidate(name, config, shape, at_hand=True, cached=True)


def _snapshot(name: str, revision: str | None) -> Path | None:
    """The folder of a model's files in the Hub cache."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json", hub_cache(os.environ), revision)
    except (HFValidationError, OSError, RuntimeError):  # RuntimeError: no home directory
        return None
    return Path(found).parent if isinstance(found, str) else None


def _has_tokenizer(folder: Path) -> bool:
    return all((folder / name).is_file() for name in _TOKENIZER)


def _has_weights(folder: Path) -> bool:
    return any(folder.glob("*.safetensors"))
