"""Datasets of the Hugging Face Hub, through `datasets`."""

from __future__ import annotations

import difflib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sftui.data.sources.arrow import ArrowBlocks, ArrowRows
from sftui.data.sources.hub_reach import offline, silence, why_unreached
from sftui.data.sources.rows import Row, Rows
from sftui.data.sources.splits import choose_split, is_slice
from sftui.errors import InputError
from sftui.recipe import Source

if TYPE_CHECKING:
    import pyarrow as pa

_PREVIEW_ROWS = 1000
_FETCHED_ROWS = 32  # at once
_LISTED = re.compile(r"(?:available configs:|Available:|Available splits:|one of) *(\[[^\]]*\])")

_Result = TypeVar("_Result")


def open_hub(source: Source, wait: bool) -> Rows:
    """A dataset of the Hub, or a folder laid out like one: `source.path` is its id or the folder.

    With `wait`, or where it was prepared on this machine before, all rows, each at hand at once (it is
    downloaded if need be); else a preview of the first 1,000, fetched by `read_on`. Raises InputError
    if it cannot be had, listing the configurations or splits where the choice among them is missing.
    """
    import datasets

    def call(function: Callable[..., _Result], *arguments: Any, **named: Any) -> _Result:
        return _explained(source, function, *arguments, **named)

    silence()
    if not wait:
        datasets.disable_progress_bars()  # the screen is another's
    builder = call(_builder, source)
    if wait or is_slice(source.split) or Path(builder.cache_dir).is_dir():
        call(builder.download_and_prepare)
        return _whole(source, builder, call)
    streams = call(builder.as_streaming_dataset)
    split = choose_split(source.split, list(streams), source.path)
    stream = streams[split].with_format("arrow")
    identity = f"{builder.cache_dir}|{split}|{source.limit}|preview"
    return Preview(f"{source.path}/{split}", identity, stream.iter(_FETCHED_ROWS), source)


def _builder(source: Source) -> Any:
    """What prepares the dataset: as the Hub has it, or where that cannot be reached as it was here before."""
    import datasets

    folder = Path(source.path).expanduser()
    local = folder.is_dir()
    path = str(folder) if local else source.path
    why = None if local or datasets.config.HF_HUB_OFFLINE else why_unreached()
    if why is None:
        return datasets.load_dataset_builder(path, source.name, revision=source.revision)
    try:
        with offline():
            return datasets.load_dataset_builder(path, source.name, revision=source.revision)
    except ConnectionError as error:
        raise ConnectionError(why) from error


def _whole(source: Source, builder: Any, call: Callable[..., Any]) -> ArrowRows:
    """The prepared dataset."""
    split = source.split
    if not is_slice(split):
        split = choose_split(split, list(builder.info.splits or ()), source.path)
    dataset = call(builder.as_dataset, split=split).with_format("arrow")
    count = len(dataset) if source.limit is None else min(source.limit, len(dataset))
    identity = f"{builder.cache_dir}|{split}|{source.limit}|{len(dataset)}"
    return ArrowRows(f"{source.path}/{split}", identity, lambda begin, end: dataset[begin:end], count)


class Preview:
    """The first rows of a dataset that comes over the network, fetched while `read_on` is called."""

    def __init__(self, name: str, identity: str, tables: Iterator[pa.Table], source: Source) -> None:
        self.identity = identity
        self.complete = False
        self._tables, self._source = tables, source
        self._wanted = min(_PREVIEW_ROWS, source.limit or _PREVIEW_ROWS)
        self._fetched: list[pa.Table] = []
        self._count = 0
        self._lock = threading.Lock()
        self._blocks = ArrowBlocks(name, self._part, lambda: self._count)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Row:
        return self._blocks.row(index)

    def where(self, index: int) -> str:
        """`owner/name/train[12]`, counted from 0."""
        return self._blocks.where(index)

    def raw(self, index: int) -> str:
        """The row as indented JSON."""
        return self._blocks.raw(index)

    @property
    def share(self) -> float:
        """How many of the rows of the preview are here, 0 to 1."""
        return 1.0 if self.complete else self._count / self._wanted

    def read_on(self, seconds: float) -> None:
        """Fetch more, for about so long but at least once. Raises InputError if the network fails."""
        until = time.monotonic() + seconds
        with self._lock:
            while not self.complete:
                table = _explained(self._source, next, self._tables, None)
                if table is not None:
                    self._fetched.append(table.slice(0, self._wanted - self._count))
                    self._count += self._fetched[-1].num_rows
                self.complete = table is None or self._count >= self._wanted
                if time.monotonic() >= until:
                    return

    def _part(self, begin: int, end: int) -> pa.Table:
        import pyarrow as pa

        tables = list(self._fetched)
        return pa.concat_tables(tables, promote_options="permissive").slice(begin, end - begin)


def _explained(source: Source, function: Callable[..., _Result], *arguments: Any, **named: Any) -> _Result:
    """Call into `datasets`; whatever it and the libraries below it raise becomes an InputError."""
    try:
        return function(*arguments, **named)
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise _explanation(source, error) from error


def _explanation(source: Source, error: Exception) -> InputError:
    name, said = source.path, str(error)
    kinds = {kind.__name__ for kind in type(error).__mro__}
    listed = _LISTED.search(said)
    choice = listed.group(1).strip("[]").replace("'", "").replace('"', "") if listed else None
    if choice is not None and ("BuilderConfig" in said or "Config name is missing" in said):
        if source.name is None:
            return InputError(
                f"has several configurations: expected name to be one of {choice}", file=name, key="name"
            )
        near = difflib.get_close_matches(source.name, choice.split(", "), n=1)
        hint = f"did you mean {near[0]!r}?" if near else None
        problem = f"found configuration {source.name!r}: expected one of {choice}"
        return InputError(problem, file=name, key="name", hint=hint)
    if choice is not None:
        return InputError(f"found split {source.split!r}: expected one of {choice}", file=name, key="split")
    if "gated" in said.lower():
        hint = f"accept its terms at https://huggingface.co/datasets/{name}, then: hf auth login"
        return InputError(
            "is a gated dataset of the Hub, and its terms are not accepted", file=name, hint=hint
        )
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0") and kinds & _NOT_REACHED:
        problem = "is no file here, and no dataset of the Hub on this machine (HF_HUB_OFFLINE is set)"
        return InputError(problem, file=name, hint="unset HF_HUB_OFFLINE to look on the Hub")
    if "revision" in said.lower() and source.revision is not None and kinds & _NOT_REACHED:
        return InputError(f"has no revision {source.revision!r} on the Hub", file=name, key="revision")
    if "DatasetNotFoundError" in kinds:
        hint = "is it spelled right? a private one needs: hf auth login"
        return InputError("is no file here, and no dataset of the Hub that can be had", file=name, hint=hint)
    if kinds & _NOT_REACHED:
        problem = "is no file here, and the Hub cannot be reached"
        return InputError(f"{problem}: {_first_line(error)}", file=name)
    while error.__cause__ is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return InputError(f"cannot be opened: {_first_line(error)}", file=name)


_NOT_REACHED = {
    "ConnectionError",
    "ConnectError",
    "TimeoutException",
    "OfflineModeIsEnabled",
    "HfHubHTTPError",
    "LocalEntryNotFoundError",
    "DatasetNotFoundError",
    "RevisionNotFoundError",
}


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:200] or type(error).__name__
