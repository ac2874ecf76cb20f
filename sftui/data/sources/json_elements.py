"""The elements of a JSON array: where each ends, and where a broken one may be taken to end."""

from __future__ import annotations

import json
import re
from array import array
from collections import deque

from sftui.data.sources.json_text import parse_json_at

NESTED_TOO_DEEPLY = "nested too deeply"

_BLANKS = " \t\n\r"
_SPACE = re.compile(r"[ \t\n\r]*+")
_FIRST_KEY = re.compile(r'\{[ \t\n\r]{0,200}("(?:[^"\\\n]|\\.){0,200}")')
# A text with a quote too many or too few is wrong to its line's end; one with raw line breaks is whole.
_SIGNS_ON_A_LINE = re.compile(r'"(?:[^"\\\n]|\\[^\n])*+"|[{}\[\]]')
_SIGNS = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\]]', re.DOTALL)
_SEPARATORS = re.compile(r"[,\]][,\] \t\n\r]*+")
_LONGEST_SIGN = 16  # characters: `-Infinity`, `\\uXXXX` and the like, which the end of a window may cut
_NEAR = 256  # characters of white space looked at before an element
_WINDOW = 16 << 10
_KNOWN_STARTS = 16
_TRIED, _SEVERAL = 64, 4  # elements read on from what may be the first whole one
_BLOCK = 1 << 16


class BrokenElement(Exception):  # noqa: N818 -- not an error of the program
    """An element that is not JSON; `position` is the character at which that shows."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message, self.position = message, position


class Elements:
    """Reads the elements of the array in `text`, one after the other.

    What follows a broken element is found by what elements of this array begin with. The time it takes
    stays in proportion to the text: once an element was broken, others are read a window at a time, and
    what has to be read again beyond it is bounded.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._careful = False
        self._longest = 0
        self._starts: deque[int] = deque(maxlen=_KNOWN_STARTS)  # of the last whole elements
        # Characters that may be read in vain: beyond a window, and from what only seems to be an element.
        self._allowance = 4 * len(text) + (16 << 20)
        self._trials = 32 * len(text) + (16 << 20)
        self._next_whole = -1  # the first element that is whole after the last that was not
        self._signs = [_SIGNS_ON_A_LINE, _SIGNS]

    def read(self, start: int) -> int:
        """Where the element that begins at `start` ends. Raises BrokenElement.

        It is broken, too, if no comma or bracket follows; the end of the text may.
        """
        end = self._value_end(start)
        after = self.skip_space(end)
        if self._text[after : after + 1] not in (",", "]", ""):
            self._careful = True
            raise BrokenElement("Expecting ',' delimiter", after)
        self._longest = max(self._longest, end - start)
        self._starts.append(start)
        return end

    def after_broken(self, start: int) -> tuple[int, int]:
        """Where the broken element that begins at `start` ends, and where to go on.

        There is a comma, a bracket that ends the array, the next element, or the end of the text. Where
        there is no element at all, as between two commas, it ends where it begins.
        """
        text = self._text
        missing = _SEPARATORS.match(text, start)
        if missing is not None:
            return start, missing.end()
        known = [*self._starts, *([start] if text[start : start + 1] == "{" else [])]
        keys = {key for at in known if (key := self._first_key(at)) is not None}
        indents = {indent for at in known if (indent := self._indent(at)) is not None}
        if self._next_whole <= start:
            self._next_whole = self._find_whole(start, keys, indents)
            if self._next_whole == len(text) and not self._starts:  # its own beginning may be broken
                keys, indents = set(), set()
                self._next_whole = self._find_whole(start, keys, indents)
        stop = min(self._next_whole, start + max(_WINDOW, 4 * self._longest))
        for signs in self._signs:
            end = self._closed(signs, start, stop, keys, indents)
            if end is not None:
                self._signs.sort(key=lambda other: other is not signs)  # likely right again
                return end, self.skip_space(end)
        broken = text[start : self._next_whole].rstrip(_BLANKS)
        if self._next_whole < len(text):
            broken = broken.removesuffix(",").rstrip(_BLANKS)
        return start + len(broken), self._next_whole

    def skip_space(self, position: int) -> int:
        """The first character from `position` on that is not white space."""
        found = _SPACE.match(self._text, position)
        return found.end() if found else position

    def _value_end(self, start: int) -> int:
        text, left = self._text, len(self._text) - start
        try:
            if self._careful:
                # An error counts the lines before it: it is kept from counting those of the whole text.
                part = text[start : start + max(_WINDOW, 2 * self._longest)]
                try:
                    return start + parse_json_at(part, 0)[1]
                except json.JSONDecodeError as error:
                    cut = error.pos + _LONGEST_SIGN >= len(part) or error.msg.startswith("Unterminated")
                    if not cut or len(part) == left or self._allowance <= 0:
                        raise BrokenElement(error.msg, start + error.pos) from error
                self._allowance -= left
            end = parse_json_at(text, start)[1]
        except json.JSONDecodeError as error:
            self._careful = True
            raise BrokenElement(error.msg, error.pos) from error
        except RecursionError as error:
            self._careful = True
            raise BrokenElement(NESTED_TOO_DEEPLY, start) from error
        if self._careful and end - start > _WINDOW:
            self._longest = max(self._longest, end - start)
        return end

    def _find_whole(self, start: int, keys: set[str], indents: set[str]) -> int:
        """The first whole element after `start` that begins as others do; the end of the text if none."""
        first = rf"[ \t\n\r]{{0,200}}(?:{'|'.join(map(re.escape, sorted(keys)))})" if keys else ""
        for found in re.compile(r"\{" + first).finditer(self._text, start + 1):
            at = found.start()
            before = self._text[max(start, at - _NEAR) : at]
            written = before.rstrip(_BLANKS)
            separated = written.endswith(",") or "\n" in before[len(written) :]
            if not separated or not self._fits(at, indents):
                continue
            if self._is_whole(at, alone=bool(keys)):
                return at
            if self._trials < 0:
                break
        return len(self._text)

    def _closed(
        self, signs: re.Pattern[str], start: int, stop: int, keys: set[str], indents: set[str]
    ) -> int | None:
        """Where the brackets opened from `start` on are closed again and the array goes on, before `stop`.

        A bracket also closes those within it that were left open.
        """
        opened: list[str] = []
        open_of = {"{": 0, "[": 0}
        for found in signs.finditer(self._text, start, stop):
            sign = self._text[found.start()]
            if sign in open_of:
                opened.append(sign)
                open_of[sign] += 1
            elif sign != '"':
                opener = "{" if sign == "}" else "["
                while open_of[opener]:
                    last = opened.pop()
                    open_of[last] -= 1
                    if last == opener:
                        break
                if not opened and self._goes_on(found.end(), keys, indents):
                    return found.end()
        return None

    def _goes_on(self, end: int, keys: set[str], indents: set[str]) -> bool:
        """Whether what follows an element that ends at `end` is the array's end or another element."""
        text, at = self._text, self.skip_space(end)
        sign = text[at : at + 1]
        start = self.skip_space(at + 1) if sign == "," else at
        if text[start : start + 1] == "]":
            return self.skip_space(start + 1) == len(text)
        if text[start : start + 1] != "{" or not self._fits(start, indents):
            return False
        return self._first_key(start) in keys if keys else self._is_whole(start, alone=False)

    def _fits(self, start: int, indents: set[str]) -> bool:
        """Whether `start` is as far from its line's beginning as other elements, as far as they tell."""
        return not indents or self._indent(start) in indents

    def _is_whole(self, start: int, *, alone: bool) -> bool:
        """Whether an element begins at `start` that a comma or bracket follows.

        Where it is not known what elements begin with it could be within one: unless `alone`, others
        must follow it up to the end of the text, or several of them.
        """
        for number in range(1 if alone else _TRIED):
            try:
                after = self.skip_space(self._value_end(start))
            except BrokenElement as error:
                # What is nested too deeply or not terminated was read further than it says.
                told = error.message != NESTED_TOO_DEEPLY and not error.message.startswith("Unterminated")
                self._trials -= error.position - start + _NEAR if told else _WINDOW
                return number >= _SEVERAL
            sign = self._text[after : after + 1]
            if sign != ",":
                return sign == "]" and (alone or self.skip_space(after + 1) == len(self._text))
            start = self.skip_space(after + 1)
        return True

    def _first_key(self, start: int) -> str | None:
        """The first key of the object that begins at `start`, with its quotes, as it is written."""
        found = _FIRST_KEY.match(self._text, start)
        return found[1] if found else None

    def _indent(self, start: int) -> str | None:
        """The white space before `start` on its line, if nothing else is there."""
        _, newline, before = self._text[max(0, start - _NEAR) : start].rpartition("\n")
        return before if newline and not before.strip(_BLANKS) else None


class Lines:
    """The lines of a text, by the positions of their characters."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._breaks = array("Q", [0])  # how many line breaks there are before each block
        self._begins = array("Q", [0])  # where the line begins that each block is in
        for start in range(0, len(text), _BLOCK):
            last = text.rfind("\n", start, start + _BLOCK)
            self._breaks.append(self._breaks[-1] + text.count("\n", start, start + _BLOCK))
            self._begins.append(last + 1 if last >= 0 else self._begins[-1])

    def place(self, position: int) -> tuple[int, int]:
        """Line and column of the character at `position`, both 1-based."""
        block = position // _BLOCK
        line = self._breaks[block] + self._text.count("\n", block * _BLOCK, position)
        last = self._text.rfind("\n", block * _BLOCK, position)
        return line + 1, position - (last if last >= 0 else self._begins[block] - 1)
