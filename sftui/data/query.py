"""A line that a person types to find rows: words, regular expressions, findings, lengths, roles."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sftui.data.conversation import ROLES
from sftui.errors import InputError, shorten

KEYS = ("finding", "tokens", "trained", "role", "re")
ANY_FINDING = "any"

_LONGEST = 2_000  # characters
_KEY = re.compile(r"([A-Za-z_]+):")
_PHRASE = re.compile(r'"((?:[^"\\]|\\.)*)"(?=\s|$)', re.DOTALL)
_SLASHED = re.compile(r"/((?:[^/\\]|\\.|/(?!\s|$))+)/(?=\s|$)", re.DOTALL)
_WORD = re.compile(r"\S+")
_NUMBER = r"(\d[\d,_]{0,14})"
_RANGES = (
    (re.compile(rf"{_NUMBER}-{_NUMBER}", re.ASCII), lambda low, high: (low, high)),
    (re.compile(rf">={_NUMBER}", re.ASCII), lambda low: (low, None)),
    (re.compile(rf"<={_NUMBER}", re.ASCII), lambda high: (0, high)),
    (re.compile(rf">{_NUMBER}", re.ASCII), lambda low: (low + 1, None)),
    (re.compile(rf"<{_NUMBER}", re.ASCII), lambda high: (0, high - 1)),
    (re.compile(rf"=?{_NUMBER}", re.ASCII), lambda only: (only, only)),
)
# Escapes, group names and inline flags: their capital letters are not the text's.
_NOT_TEXT = re.compile(r"\\.|\(\?P[<=]\w+|\(\?[a-zA-Z-]+(?=[:)])", re.DOTALL)


class Words(NamedTuple):
    """A text that a row has, or with `negated` has not; `text` is folded where case does not count."""

    text: str
    folded: bool
    negated: bool


class Pattern(NamedTuple):
    """A regular expression that a row's text matches somewhere, or with `negated` nowhere."""

    compiled: re.Pattern[str]
    negated: bool


class Range(NamedTuple):
    """A number from `low` to `high`, both included (None: without end), or with `negated` any other."""

    low: int
    high: int | None
    negated: bool


class Flags(NamedTuple):
    """A row has at least one of the findings in `mask`, or with `negated` none of them."""

    mask: int
    negated: bool


class Role(NamedTuple):
    """A row has a message of this role, or with `negated` has none."""

    name: str
    negated: bool


@dataclass(frozen=True, slots=True)
class Query:
    """What rows must have, all of it. It can be pickled.

    A regular expression may take time without end on an unlucky text and Python cannot interrupt it:
    call `matches_text` only where the process can be ended.
    """

    words: tuple[Words, ...] = ()
    patterns: tuple[Pattern, ...] = ()
    roles: tuple[Role, ...] = ()
    lengths: tuple[Range, ...] = ()
    trained: tuple[Range, ...] = ()
    findings: tuple[Flags, ...] = ()

    @property
    def needs_text(self) -> bool:
        """Whether the row's text decides."""
        return bool(self.words or self.patterns)

    @property
    def needs_roles(self) -> bool:
        """Whether the roles of the row's messages decide."""
        return bool(self.roles)

    @property
    def needs_counts(self) -> bool:
        """Whether tokens or findings decide, so that the row must have been analysed."""
        return bool(self.lengths or self.trained or self.findings)

    def matches_text(self, text: str, roles: Collection[str]) -> bool:
        """Whether a row with this text and with messages of these roles has what is asked of them."""
        for name, negated in self.roles:
            if (name in roles) == negated:
                return False
        lower: str | None = None
        for words, folded, negated in self.words:
            if folded and lower is None:
                lower = text.casefold()
            if (words in (lower if folded and lower is not None else text)) == negated:
                return False
        return all((pattern.search(text) is not None) != negated for pattern, negated in self.patterns)

    def matches_counts(self, length: int, trained: int, flags: int) -> bool:
        """Whether a row of `length` tokens, `trained` of them, has what is asked of counts and findings.

        `flags` has one bit for each finding of the row.
        """
        for mask, negated in self.findings:
            if (flags & mask != 0) == negated:
                return False
        for low, high, negated in self.lengths:
            if (length >= low and (high is None or length <= high)) == negated:
                return False
        for low, high, negated in self.trained:
            if (trained >= low and (high is None or trained <= high)) == negated:
                return False
        return True


def parse_query(text: str, codes: Collection[str], bits: Mapping[str, int]) -> Query:
    """The query that `text` says.

    `codes` are all findings, `bits` the number of the bit that each has in a row's flags. Terms, all of
    which must hold, with a leading `-` for not:

        word  "some words"       in the text; a capital letter makes case count
        re:PATTERN  /PATTERN/    a regular expression; ^ and $ are ends of lines
        finding:CODE             or the first letters of several, or `any`
        tokens:>2,000  tokens:100-200  tokens:7  trained:0
        role:tool                has such a message

    Raises InputError with what was found and expected.
    """
    if len(text) > _LONGEST:
        raise InputError(f"found {len(text):,} characters: expected at most {_LONGEST:,}")
    terms = _Terms(codes, bits)
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        negated = text[at] == "-" and at + 1 < len(text) and not text[at + 1].isspace()
        at = terms.take(text, at + negated, negated)
    return terms.query()


class _Terms:
    """The terms of one line as they are read."""

    def __init__(self, codes: Collection[str], bits: Mapping[str, int]) -> None:
        self._codes = codes
        self._bits = bits
        self._words: list[Words] = []
        self._patterns: list[Pattern] = []
        self._roles: list[Role] = []
        self._lengths: list[Range] = []
        self._trained: list[Range] = []
        self._findings: list[Flags] = []

    def query(self) -> Query:
        return Query(
            tuple(self._words),
            tuple(self._patterns),
            tuple(self._roles),
            tuple(self._lengths),
            tuple(self._trained),
            tuple(self._findings),
        )

    def take(self, text: str, at: int, negated: bool) -> int:
        """Read the term that begins at `at`; where it ends."""
        if text[at] == "/":
            slashed = _SLASHED.match(text, at)
            if slashed is None:
                raise InputError(
                    f"no closing / after {shorten(text[at:])}: expected /PATTERN/",
                    hint='for words that begin with /, put them in quotes: "/usr"',
                )
            self._patterns.append(Pattern(_compiled(slashed[1]), negated))
            return slashed.end()
        key = _KEY.match(text, at)
        value, end, quoted = _value(text, key.end() if key else at)
        if key is None or (not value and not quoted and key[1].lower() not in KEYS):
            word = value if key is None else key[0]
            if not word:
                raise InputError('found "": expected words between the quotes')
            self._words.append(_words(word, negated))
            return end
        self._add(key[1], value, negated)
        return end

    def _add(self, typed: str, value: str, negated: bool) -> None:
        key = typed.lower()
        if key not in KEYS:
            near = _nearest(key, KEYS)
            raise InputError(
                f"unknown key {typed!r}: expected {', '.join(f'{name}:' for name in KEYS)}",
                hint=f"did you mean {near}:?" if near else f'for the words, put them in quotes: "{typed}:.."',
            )
        if not value:
            raise InputError(f"nothing after {key}: expected {_EXAMPLES[key]}")
        if key == "re":
            self._patterns.append(Pattern(_compiled(value), negated))
        elif key == "role":
            self._roles.append(Role(_role(value), negated))
        elif key == "finding":
            self._findings.append(Flags(self._mask(value), negated))
        else:
            numbers = _range(key, value, negated)
            (self._lengths if key == "tokens" else self._trained).append(numbers)

    def _mask(self, value: str) -> int:
        """The bits of the findings whose code begins with `value`."""
        sought = "" if value.lower() == ANY_FINDING else value.lower()
        found = [code for code in self._codes if code.startswith(sought)]
        if sought in self._codes:
            found = [sought]
        if not found:
            near = _nearest(sought, self._codes)
            raise InputError(
                f"unknown finding {value!r}: expected {_choice(self._codes)}",
                hint=f"did you mean finding:{near}?" if near else None,
            )
        mask = 0
        for code in found:
            if code in self._bits:
                mask |= 1 << self._bits[code]
        if not mask:
            raise InputError(f"{found[0]} is a finding about the whole dataset: expected one about rows")
        return mask


_EXAMPLES = {
    "finding": "the code of a finding, or any",
    "tokens": "a number or a range: >2000, <50, 100-200",
    "trained": "a number or a range: 0, >100, 10-20",
    "role": f"one of {', '.join(ROLES)}",
    "re": "a regular expression",
}


def _value(text: str, at: int) -> tuple[str, int, bool]:
    """The word or quoted phrase that begins at `at`, where it ends, and whether it was quoted."""
    if text[at : at + 1] == '"':
        phrase = _PHRASE.match(text, at)
        if phrase is None:
            raise InputError(f'no closing quote after {shorten(text[at:])}: expected "some words"')
        return phrase[1].replace('\\"', '"'), phrase.end(), True
    word = _WORD.match(text, at)
    return (word[0], word.end(), False) if word else ("", at, False)


def _words(text: str, negated: bool) -> Words:
    folded = not _has_capital(text)
    return Words(text.casefold() if folded else text, folded, negated)


def _has_capital(text: str) -> bool:
    return any(char.isupper() for char in text)


def _compiled(pattern: str) -> re.Pattern[str]:
    flags = re.MULTILINE if _has_capital(_NOT_TEXT.sub("", pattern)) else re.MULTILINE | re.IGNORECASE
    try:
        with warnings.catch_warnings():  # of what a future Python may read otherwise
            warnings.simplefilter("ignore")
            return re.compile(pattern, flags)
    except re.error as error:
        place = "" if error.pos is None else f" at character {error.pos + 1}"
        raise InputError(
            f"found {shorten(pattern)}: expected a regular expression, but {error.msg}{place}"
        ) from error
    except (OverflowError, RecursionError, ValueError) as error:
        raise InputError(f"found {shorten(pattern)}: expected a simpler regular expression") from error


def _role(value: str) -> str:
    role = value.lower()
    if role not in ROLES:
        near = _nearest(role, ROLES)
        raise InputError(
            f"unknown role {value!r}: expected one of {', '.join(ROLES)}",
            hint=f"did you mean role:{near}?" if near else None,
        )
    return role


def _range(key: str, value: str, negated: bool) -> Range:
    for shape, bounds in _RANGES:
        if match := shape.fullmatch(value):
            low, high = bounds(*(int(number.replace(",", "").replace("_", "")) for number in match.groups()))
            if high is not None and high < low:
                raise InputError(f"found {key}:{value}, which no row can be: expected {_EXAMPLES[key]}")
            return Range(low, high, negated)
    raise InputError(f"found {shorten(value)} after {key}: expected {_EXAMPLES[key]}")


def _choice(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none, for there are none"


def _nearest(name: str, names: Iterable[str]) -> str | None:
    close = difflib.get_close_matches(name, list(names), n=1)
    return close[0] if close else None
