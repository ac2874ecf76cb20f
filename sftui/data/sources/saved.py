"""Folders that `datasets.save_to_disk` wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sftui.data.sources.arrow import ArrowRows, map_table, table_rows
from sftui.data.sources.rows import file_identity
from sftui.data.sources.splits import choose_split
from sftui.errors import InputError
from sftui.recipe import Source

_STATE, _SPLITS = "state.json", "dataset_dict.json"


def is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` wrote the folder: a dataset, or several splits of one."""
    return (folder / _STATE).is_file() or (folder / _SPLITS).is_file()


def open_saved(source: Source, folder: Path) -> ArrowRows:
    """The rows of a saved dataset, of one split if it has several. Raises OSError, InputError."""
    import pyarrow as pa

    name = source.path
    if (folder / _SPLITS).is_file():
        splits = _read(folder / _SPLITS, name).get("splits")
        if not isinstance(splits, list) or not all(isinstance(split, str) for split in splits):
            raise InputError("found no list of splits", file=folder / _SPLITS)
        split = choose_split(source.split, splits, name)
        name, folder = f"{name.rstrip('/')}/{split}", folder / split
    elif source.split not in (None, "train"):
        raise InputError(f"has no splits: found split {source.split!r}", file=name, key="split")
    files = _read(folder / _STATE, name).get("_data_files")
    try:
        paths = [folder / file["filename"] for file in files]  # type: ignore[union-attr]
    except (TypeError, KeyError):
        raise InputError("found no list of data files", file=folder / _STATE) from None
    if not paths:
        raise InputError("has no rows: expected at least one", file=name)
    identity = "|".join([*map(file_identity, paths), str(source.limit)])
    try:
        table = pa.concat_tables([map_table(path, str(path)) for path in paths])
    except pa.ArrowException as error:
        first = str(error).split("\n", 1)[0]
        raise InputError(f"its files have different columns: {first}", file=name) from error
    return table_rows(name, identity, table, source.limit)


def _read(path: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"is no saved dataset: there is no {path.name}", file=name) from None
    except ValueError as error:
        raise InputError(f"is not JSON: {error}", file=path) from error
    if not isinstance(found, dict):
        raise InputError("is not a JSON object", file=path)
    return found
