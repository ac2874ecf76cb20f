"""The rows of several sources as one list of conversations."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from sftui.data.conversation import Conversation
from sftui.data.formats import read_conversation
from sftui.data.sources import Row, Rows, open_rows
from sftui.data.sources.chain import Chain
from sftui.recipe import Source


class Corpus:
    """Conversations of `sources` in their order, each read when it is asked for.

    With `wait` all rows are known from the beginning. Without, `read_on` comes to know more: the rows
    of a source count when all sources before it are complete, so that a row keeps its number. Raises
    InputError if a source cannot be opened, and on access if the row is unusable.
    """

    def __init__(self, sources: Sequence[Source], *, wait: bool = True) -> None:
        self._sources = list(sources)
        opened = [open_rows(source, wait=wait) for source in sources]
        identities = [
            f"{rows.identity}|{_reading(source)}" for rows, source in zip(opened, sources, strict=True)
        ]
        self._chain = Chain([_opened(rows) for rows in opened], [1] * len(opened), identities)
        while not self._chain.complete and (wait or not len(self._chain)):
            self._chain.read_on(0)

    def __len__(self) -> int:
        return len(self._chain)

    def __getitem__(self, index: int) -> Conversation:
        source, row, where = self._chain.read(index)
        return read_conversation(row, self._sources[source], where)

    def row(self, index: int) -> Row:
        """Row `index` as its file has it, parsed. Raises InputError if it cannot be."""
        return self._chain[index]

    def raw(self, index: int) -> str:
        """The text of row `index`, whatever is wrong with it."""
        return self._chain.raw(index)

    def where(self, index: int) -> str:
        """Where row `index` stands: `train.jsonl:1205`."""
        return self._chain.where(index)

    def source(self, index: int) -> int:
        """The number of the source that row `index` comes from."""
        return self._chain.find(index)[0]

    @property
    def complete(self) -> bool:
        """Whether all rows are known."""
        return self._chain.complete

    @property
    def share(self) -> float:
        """How much of the sources is known, 0 to 1; each counts the same."""
        return self._chain.share

    @property
    def identity(self) -> str:
        """Changes whenever a conversation or its number could have; not with a source's weight."""
        return self._chain.identity

    def read_on(self, seconds: float) -> None:
        """Come to know more rows, for about so long. Raises InputError if a source cannot be read on."""
        self._chain.read_on(seconds)

    def drawn(self, rows: Sequence[int], seed: int) -> list[int]:
        """`rows` as often as the weights of their sources say, ascending.

        With weight 2.5 each of a source's n rows is there twice and round(n / 2) of them once more: those
        whose hash of seed and row number is least, the same in every version of Python.
        """
        by_source: dict[int, list[int]] = {}
        for row in rows:
            by_source.setdefault(self.source(row), []).append(row)
        drawn: list[int] = []
        for source, members in by_source.items():
            times, share = divmod(self._sources[source].weight, 1)
            drawn += members * int(times)
            if share:
                drawn += sorted(members, key=lambda row: _lot(seed, row))[: round(len(members) * share)]
        return sorted(drawn)


def _opened(rows: Rows) -> Callable[[int | None], Rows]:
    return lambda limit: rows


def _reading(source: Source) -> str:
    """How the rows of a source are read."""
    return source.model_dump_json(include={"format", "columns"})


def _lot(seed: int, row: int) -> bytes:
    """Unlike the lot by which rows are held out: the rows that stay would all be alike in that."""
    return hashlib.blake2b(f"drawn {seed} {row}".encode(), digest_size=8).digest()
