"""What a value that is being typed can be completed to: files, models at hand, choices. For a thread."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sftui.recipe_fields import FieldInfo

MOST = 40
_LOOKED_AT = 2_000  # entries of a folder
_ROWS = (".jsonl", ".json", ".csv", ".parquet", ".gz", ".zst", ".txt")


def completions(field: FieldInfo, text: str, base: Path) -> list[str]:
    """Texts that begin as `text`; relative paths are relative to `base`."""
    if field.kind == "choice":
        return starting_with(text, field.choices)
    if field.kind in ("path", "sources"):
        return paths(text, base)
    if field.kind == "model":
        return models(text, base)
    if field.or_text and isinstance(field.default, str) and field.default.startswith(text):
        return [field.default]
    return []


def starting_with(text: str, choices: Iterable[str]) -> list[str]:
    """The choices that begin as `text`, in upper or lower case."""
    return [choice for choice in choices if choice.casefold().startswith(text.casefold())]


def models(text: str, base: Path) -> list[str]:
    """Hub ids of models at hand, then folders."""
    if text.startswith(("/", "./", "../", "~")):
        return paths(text, base, folders=True)
    known = starting_with(text, cached_models())
    return (known + [f"./{name}" for name in paths(text, base, folders=True)])[:MOST]


def gpus(text: str) -> list[str]:
    """Names of GPUs that have all words of `text`, the largest first."""
    from sftui.memory.gpus import sizes

    words = text.casefold().split()
    return [name for name, _ in sizes() if all(word in name.casefold() for word in words)]


def paths(text: str, base: Path, *, folders: bool = False) -> list[str]:
    """Folders, and files unless only `folders` are wanted, whose paths begin as `text`; data first."""
    head, _, name = text.rpartition("/")
    shown = f"{head}/" if "/" in text else ""
    try:
        folder = base / Path(shown).expanduser()
        with os.scandir(folder) as entries:
            found = [
                (entry.name, entry.is_dir())
                for entry in islice(entries, _LOOKED_AT)
                if entry.name.startswith(name) and (name.startswith(".") or not entry.name.startswith("."))
            ]
    except (OSError, ValueError, RuntimeError):
        return []
    kept = [(each, is_folder) for each, is_folder in found if is_folder or not folders]
    kept.sort(key=lambda pair: (not pair[0].endswith(_ROWS), not pair[1], pair[0]))
    return [f"{shown}{each}{'/' if is_folder else ''}" for each, is_folder in kept[:MOST]]


def cached_models() -> list[str]:
    """Names of the models in the Hub cache."""
    from sftui.doctor_checks import hub_cache

    try:
        # A failed download leaves `refs` alone.
        kept = hub_cache(os.environ).glob("models--*--*/snapshots/*")
        folders = sorted({snapshot.parent.parent for snapshot in kept})
    except (OSError, RuntimeError):
        return []
    return [each.name.removeprefix("models--").replace("--", "/", 1) for each in folders]
