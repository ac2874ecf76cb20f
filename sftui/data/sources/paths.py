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
_NAMED = 5  # files, in a hint
_WORD_SUFFIX = re.compile(r"\.([a-z]{3,}\d?)")
_LIKENESS = 0.66  # as `cvs` and `csv` have it
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
    """Whether a name that is no local path can be meant as a dataset of the Hub: `owner/name`, `name`.

    A name that ends like a data file, be it misspelled (`.jsnl`), cannot.
    """
    suffix = Path(name.lower()).suffix
    if kind(name) or suffix in _OTHER_FILES or _resembles_data(suffix) or "--" in name or ".." in name:
        return False
    return _HUB_ID.fullmatch(name) is not None


def is_beside(name: str, base: Path) -> bool:
    """Whether the first part of the path `name` is a folder in `base`: it is then no owner on the Hub."""
    first, slash, _ = name.partition("/")
    # os.path: False, not an error, for a name that no file can have.
    return bool(slash) and os.path.isdir(base / first)  # noqa: PTH112


def _resembles_data(suffix: str) -> bool:
    """Whether it is a slip of the pen for the suffix of a data file: `.jsnl`, `.cvs`, `.parqet`."""
    word = _WORD_SUFFIX.fullmatch(suffix)
    known = [data[1:] for data in (*LINE_SUFFIXES, *BINARY_SUFFIXES)]
    return word is not None and bool(difflib.get_close_matches(word[1], known, n=1, cutoff=_LIKENESS))


def holds_rows(name: str) -> bool:
    """Whether a file of a folder holds rows: it is of a known kind and no description or hidden file."""
    return kind(name) is not None and name[:1] not in "._" and name not in _DESCRIPTIONS


def nearest_file(path: Path) -> str | None:
    """A hint naming the most similar file beside `path`, else those there are, or the missing folder."""
    folder = path.parent
    if not os.path.isdir(folder):  # noqa: PTH112 -- False, not an error, for a name that is too long
        return f"there is no directory {str(folder)!r}"
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return None
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {str(folder / close[0])!r}?" if close else data_files(folder)


def nearest_name(path: Path) -> str | None:
    """The path of the most similar file beside `path`, None where none is similar."""
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except (OSError, ValueError):
        return None
    close = difflib.get_close_matches(path.name, names, n=1)
    return str(path.parent / close[0]) if close else None


def data_files(folder: Path) -> str | None:
    """A hint naming data files and folders in `folder`."""
    try:
        entries = [entry for entry in folder.iterdir() if entry.name[:1] not in "._"]
    except OSError:
        return None
    names = sorted(entry.name for entry in entries if holds_rows(entry.name) or entry.is_dir())
    more = ", .." if len(names) > _NAMED else ""
    listed = f"has {', '.join(names[:_NAMED])}{more}" if names else "has no data files"
    return f"{str(folder)!r} {listed}"
