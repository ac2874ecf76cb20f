"""Which names are files, patterns or datasets of the Hub, and which kinds of file are data."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

LINE_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
PACKED_SUFFIXES = (".gz", ".zst")
BINARY_SUFFIXES = (".parquet", ".arrow", ".feather")
KINDS = (
    "a .jsonl, .ndjson, .json, .csv or .tsv file (these also with .gz or .zst), .parquet, .arrow or .feather"
)

# A name that ends so is meant as a file, though it cannot be read here.
_OTHER_FILES = frozenset(
    (
        *(".txt", ".md", ".yaml", ".yml", ".xml", ".xls", ".xlsx", ".html", ".log", ".py", ".pkl", ".npy"),
        *(".npz", ".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".lz4", ".db", ".sqlite"),
    )
)
# They describe a dataset and hold no rows of it.
_DESCRIPTIONS = frozenset(("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"))
_HUB_PART = r"[A-Za-z0-9](?:[\w.-]{0,94}\w)?"
_HUB_ID = re.compile(rf"(?:{_HUB_PART}/)?{_HUB_PART}", re.ASCII)
_PATTERN_SIGNS = re.compile(r"[*?\[]")


def kind(name: str) -> str | None:
    """The suffix that says how to read a file: `.csv`, `.jsonl.gz`; None if it is none of KINDS."""
    suffixes = Path(name.lower()).suffixes[-2:]
    last = suffixes[-1] if suffixes else ""
    if last in PACKED_SUFFIXES:
        return "".join(suffixes) if suffixes[0] in LINE_SUFFIXES else None
    return last if last in LINE_SUFFIXES or last in BINARY_SUFFIXES else None


def is_pattern(name: str) -> bool:
    """Whether the name has signs of a glob pattern."""
    return _PATTERN_SIGNS.search(name) is not None


def is_hub_id(name: str) -> bool:
    """Whether a name that is no local path can be meant as a dataset of the Hub: `owner/name`, `name`."""
    if kind(name) or Path(name.lower()).suffix in _OTHER_FILES or "--" in name or ".." in name:
        return False
    return _HUB_ID.fullmatch(name) is not None


def holds_rows(name: str) -> bool:
    """Whether a file of a folder holds rows: it is of a known kind and no description or hidden file."""
    return kind(name) is not None and name[:1] not in "._" and name not in _DESCRIPTIONS


def nearest_file(path: Path) -> str | None:
    """A hint naming the most similar file beside `path`, or the folder that does not exist."""
    folder = path.parent
    if not os.path.isdir(folder):  # noqa: PTH112 -- False, not an error, for a name that is too long
        return f"there is no directory {str(folder)!r}"
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return None
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {str(folder / close[0])!r}?" if close else None
