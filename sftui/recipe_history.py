"""Undo and redo of a recipe's documents."""

from __future__ import annotations

from sftui.recipe_document import Document


class History:
    """The open document and those before it. Edits of one key shortly after each other are one step.

    Times are seconds of any clock that does not go back, given by the caller.
    """

    def __init__(self, document: Document, *, limit: int = 200, together: float = 1.0) -> None:
        """At most `limit` steps can be undone; `together` is the longest pause within one, in seconds."""
        self.document = document
        self._limit, self._together = limit, together
        self._before: list[Document] = []
        self._after: list[Document] = []
        self._last: tuple[str, float] | None = None

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._before)

    @property
    def can_redo(self) -> bool:
        """Whether a step that was taken back can be made again."""
        return bool(self._after)

    def put(self, document: Document, now: float, key: str | None = None) -> None:
        """The next document, made by an edit of `key`; without a key it is a step of its own."""
        if document == self.document:
            return
        last, self._last = self._last, (key, now) if key is not None else None
        joined = last is not None and last[0] == key and now - last[1] <= self._together
        if not joined:
            self._before = [*self._before, self.document][-self._limit :]
        self._after.clear()
        self.document = document

    def undo(self) -> Document:
        """One step back; the document that is open then."""
        return self._move(self._before, self._after)

    def redo(self) -> Document:
        """One step forth again; the document that is open then."""
        return self._move(self._after, self._before)

    def _move(self, source: list[Document], target: list[Document]) -> Document:
        self._last = None
        if source:
            target.append(self.document)
            self.document = source.pop()
        return self.document
