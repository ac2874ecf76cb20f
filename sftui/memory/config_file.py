"""A config.json -> the shape of the model, or the word that its family is not known here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftui.data.model_files import model_directory
from sftui.errors import InputError, shorten
from sftui.memory.config_values import Values
from sftui.memory.families import FAMILIES, require_activation
from sftui.memory.shape import ModelShape

if TYPE_CHECKING:
    from sftui.known_models import KnownModel

_LARGEST_FILE = 16_000_000  # bytes; a config.json has a few thousand


@dataclass(frozen=True, slots=True)
class Unknown:
    """An architecture that the closed form has no layers for: the simulation answers."""

    model_type: str
    why: str


def shape_of_model(name_or_path: str, revision: str | None = None) -> ModelShape | Unknown:
    """The shape of a model by Hub id or directory, which may hold nothing but a config.json.

    A well-known model of which nothing is here, and which the Hub does not give now, has the shape of
    `sftui.known_models`: `from_table` says so. Raises InputError where there is no config.json of another
    one, or where it describes no possible model.
    """
    config, file = _config_of(name_or_path, revision)
    if isinstance(file, Path):
        return shape_of(config, file=str(file))
    return file.shape


def _config_of(name_or_path: str, revision: str | None) -> tuple[Mapping[str, Any], Path | KnownModel]:
    """What a model's config.json says, and that file; else what is known of a well-known model.

    That is not told of one of its revisions, nor of a directory of its name. Raises InputError.
    """
    from sftui.known_models import known_model  # its shapes are made by this module

    try:
        file = config_file(name_or_path, revision)
    except InputError:
        known = None if revision is not None or Path(name_or_path).exists() else known_model(name_or_path)
        if known is None:
            raise
        return known.config, known
    return read_config(file), file


def config_file(name_or_path: str, revision: str | None = None) -> Path:
    """The config.json of a model by Hub id or directory. Raises InputError where there is none."""
    found = model_directory(name_or_path, revision) / "config.json"
    if not found.is_file():
        raise InputError(
            "there is no config.json, which says how large the model is",
            file=found.parent,
            key="model.name_or_path",
            hint="name a directory with a config.json, or a Hub id (owner/name)",
        )
    return found


def read_config(file: Path) -> dict[str, Any]:
    """A config.json as a mapping. Raises InputError where it is none."""
    try:
        if file.stat().st_size > _LARGEST_FILE:
            raise InputError(f"is {file.stat().st_size:,} bytes: expected a config.json", file=file)
        read = json.loads(file.read_bytes())
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=file) from error
    except (ValueError, RecursionError) as error:
        raise InputError("is not JSON: expected a model's config.json", file=file) from error
    if not isinstance(read, dict):
        raise InputError(f"found {shorten(read)}, expected the settings of a model in braces", file=file)
    return read


@lru_cache(maxsize=16)
def longest_position(name_or_path: str, revision: str | None = None) -> int | None:
    """The tokens of a sequence that the model was made for, None where its config.json does not say.

    Raises InputError where there is none, and the model is no well-known one.
    """
    config, _ = _config_of(name_or_path, revision)
    nested = config.get("text_config")
    for values in (nested if isinstance(nested, Mapping) else {}, config):
        found = values.get("max_position_embeddings")
        if isinstance(found, int) and not isinstance(found, bool) and found > 0:
            return found
    return None


def shape_of(config: Mapping[str, Any], *, file: str = "config.json") -> ModelShape | Unknown:
    """The shape of the model that transformers' AutoModelForCausalLM makes of this configuration.

    Missing keys have the values of transformers' configuration classes. Raises InputError with `file` and key
    for sizes that no model can have.
    """
    name = Values(config, file).text("model_type", "")
    if not name:
        return Unknown("", "config.json names no model_type")
    if "auto_map" in config and name not in FAMILIES:
        return Unknown(name, f"{name} comes with code of its own")
    nested = config.get("text_config")
    values = Values(config, file)
    if nested is not None and not isinstance(nested, Mapping):
        raise values.error("text_config", f"found {shorten(nested)}, expected settings in braces")
    if isinstance(nested, Mapping):
        if config.get("vision_config") is not None or config.get("audio_config") is not None:
            return Unknown(name, f"{name} has parts that read images or sound")
        values = Values(nested, file, within="text_config")
        name = values.text("model_type", name) or name
    read = FAMILIES.get(name)
    if read is None:
        require_activation(values)
        return Unknown(name, f"{name} is no family that the closed form knows")
    if config.get("quantization_config") is not None:
        return Unknown(name, "its weights are stored quantised")
    answer = read(values)
    return Unknown(name, answer) if isinstance(answer, str) else answer
