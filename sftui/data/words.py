"""Token ids of plain text from the words in it, for byte-level BPE tokenizers.

Such a tokenizer cuts a text into words by a regular expression and encodes each word by itself, so the
tokens of a word that was seen before are known. Most of the time of tokenising goes into cutting and
into the bookkeeping of characters; over a plain alphabet both are simple, and a text costs a third.

What is not certain to come out the same is left to the tokenizers library: other kinds of tokenizers,
text beyond the alphabet, expressions with anything unusual in them. Of every batch some texts are
encoded both ways; the first difference ends the use of this for good.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, chain, pairwise
from typing import TYPE_CHECKING, Any
from unicodedata import category

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

_KNOWN_WORDS = 1 << 20  # at most: some 200 MB
# How byte-level vocabularies spell bytes (GPT-2's table): as themselves, or as what follows U+0100.
_AS_THEMSELVES = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_OTHERS = (byte for byte in range(256) if byte not in _AS_THEMSELVES)
_SPELLED = {byte: chr(byte) for byte in _AS_THEMSELVES} | {b: chr(256 + i) for i, b in enumerate(_OTHERS)}
_SPELLS = {char: byte for byte, char in _SPELLED.items()}
# Printable ASCII, and letters, signs and punctuation of Latin scripts: assigned since long, without white
# space, unchanged by NFC, and in no other case one of the ASCII letters (as \u0130, \u0131 and \u017f are).
BEYOND_ASCII = "".join(
    chr(code)
    for begin, end in ((0xA1, 0xAD), (0xAE, 0x180), (0x2010, 0x2028), (0x2030, 0x205F), (0x20A0, 0x20B6))
    for code in range(begin, end)
    if code not in (0x130, 0x131, 0x17F)
)
_ALPHABET = "".join(map(chr, range(0x20, 0x7F))) + BEYOND_ASCII
_PLAIN = re.compile(f"[\t\n\r -~{BEYOND_ASCII}]*")
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def _class(prefix: str) -> str:
    """The characters of the alphabet in a Unicode category, for a set of a regular expression."""
    return "".join(re.escape(char) for char in _ALPHABET if category(char).startswith(prefix))


# Categories as far as the alphabet goes; some are empty.
_CLASSES = {name: _class(name) for name in ("L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "N", "P", "S")}
_PIECE = re.compile(r"\\p\{(\w+)\}|\\(.)|(\[\^?)|(\])|(.)", re.DOTALL)
_ESCAPES = frozenset("sSrntd") | frozenset(r"""\[]-^.|~/+*?(){}"'""")

Cut = Callable[[str], list[str]]


class WordEncoder:
    """The words of `tokenizer` that were seen, and how it cuts a text into them.

    Gives exactly what `tokenizer.encode(text, add_special_tokens=False)` gives, or nothing.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._model = tokenizer.model
        self._ids: dict[str, tuple[int, ...]] = {}
        self._lengths: dict[str, tuple[int, ...]] = {}
        self._added: dict[str, int] = {}
        self._separators: list[re.Pattern[str]] = []
        self._cuts: list[Cut] | None = None
        if type(tokenizer.model).__name__ != "BPE" or not _leaves_text(tokenizer):
            return
        added = tokenizer.get_added_tokens_decoder()
        if tokenizer.pre_tokenizer is None or not self._take(added) or tokenizer.encode_special_tokens:
            return
        model = tokenizer.model
        if model.dropout or model.continuing_subword_prefix or model.end_of_word_suffix:
            return
        steps: list[dict[str, Any]] = [json.loads(tokenizer.pre_tokenizer.__getstate__())]
        if steps[0]["type"] == "Sequence":
            steps = steps[0]["pretokenizers"]
        # The last step spells bytes as characters: words would look otherwise to any after it.
        if steps[-1]["type"] == "ByteLevel" and not any(step["type"] == "ByteLevel" for step in steps[:-1]):
            if not steps[-1].get("use_regex", True) and not steps[-1]["add_prefix_space"]:
                del steps[-1]  # it spells, and cuts nothing
            cuts = [_cut(step) for step in steps]
            if None not in cuts:
                self._cuts = [cut for cut in cuts if cut is not None]

    @property
    def usable(self) -> bool:
        """Whether anything can be encoded so."""
        return self._cuts is not None

    def give_up(self) -> None:
        """Encode nothing any more."""
        self._cuts = None

    def encode(self, text: str) -> WordTokens | None:
        """The tokens of `text`; None if it is not for us."""
        if self._cuts is None or _PLAIN.fullmatch(text) is None:
            return None
        if len(self._ids) > _KNOWN_WORDS:
            self._forget()
        ids: list[int] = []
        words: list[list[str]] = []
        starts, firsts, end = [0], [0], 0
        for piece, whole in self._pieces(text):
            cut = [piece]
            if not whole:
                for each in self._cuts:
                    cut = each(piece) if len(cut) == 1 else list(chain.from_iterable(map(each, cut)))
            try:
                ids += chain.from_iterable(map(self._ids.__getitem__, cut))
            except KeyError:
                del ids[firsts[-1] :]
                if not all(word in self._ids or self._learn(word) for word in cut):
                    return None
                ids += chain.from_iterable(map(self._ids.__getitem__, cut))
            words.append(cut)
            end += len(piece)
            starts.append(end)
            firsts.append(len(ids))
        return WordTokens(ids, words, starts, firsts, self._lengths)

    def _pieces(self, text: str) -> Iterator[tuple[str, bool]]:
        """The added tokens in a text, and what stands between them; True for a token."""
        pieces: list[tuple[str, bool]] = [(text, False)]
        for separator in self._separators:
            pieces = [
                (part, whole or at % 2 == 1)
                for piece, whole in pieces
                for at, part in enumerate([piece] if whole else separator.split(piece))
                if part
            ]
        return iter(pieces)

    def _take(self, added: dict[int, AddedToken]) -> bool:
        """Learn the added tokens; False if one of them takes more than its own characters."""
        for token_id, token in added.items():
            if token.single_word or token.lstrip or token.rstrip:
                return False
            if _PLAIN.fullmatch(token.content):
                self._added[token.content] = token_id
        # The library looks for those that are matched before normalisation first.
        for normalized in (False, True):
            group = [
                token.content
                for token in added.values()
                if token.normalized is normalized and token.content and _PLAIN.fullmatch(token.content)
            ]
            if group:
                longest_first = sorted(group, key=len, reverse=True)
                self._separators.append(re.compile(f"({'|'.join(map(re.escape, longest_first))})"))
        self._forget()
        return True

    def _forget(self) -> None:
        # Texts that were encoded before go on with the words that they know.
        self._ids = {content: (token_id,) for content, token_id in self._added.items()}
        self._lengths = {content: (len(content),) for content in self._added}

    def _learn(self, word: str) -> bool:
        """Find the tokens of a new word; False if some of them are parts of a character."""
        tokens = self._model.tokenize("".join(map(_SPELLED.__getitem__, word.encode())))
        lengths = []
        for token in tokens:
            try:
                lengths.append(len(bytes(map(_SPELLS.__getitem__, token.value)).decode()))
            except (UnicodeDecodeError, KeyError):
                return False
        if sum(lengths) != len(word):
            return False
        self._ids[word] = tuple(token.id for token in tokens)
        self._lengths[word] = tuple(lengths)
        return True


class WordTokens(Sequence[tuple[int, int]]):
    """The `ids` of a text; as a sequence, the characters that each of them covers.

    These are found by going over the words from where the piece of the text begins: they are asked for
    few tokens, most of them the first or last of a piece.
    """

    __slots__ = ("_firsts", "_lengths", "_starts", "_words", "ids")

    def __init__(
        self,
        ids: list[int],
        words: list[list[str]],
        starts: list[int],
        firsts: list[int],
        lengths: dict[str, tuple[int, ...]],
    ) -> None:
        self.ids = ids
        self._words = words  # of each piece
        self._starts = starts  # where each piece starts, in characters, and where the last one ends
        self._firsts = firsts  # the same in tokens
        self._lengths = lengths

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: Any) -> Any:
        if index.__class__ is not int or not 0 <= index < len(self.ids):
            return self._all()[index]
        piece = bisect_right(self._firsts, index) - 1
        token, start = self._firsts[piece], self._starts[piece]
        for word in self._words[piece]:
            lengths = self._lengths[word]
            if token + len(lengths) > index:
                start += sum(lengths[: index - token])
                return start, start + lengths[index - token]
            token += len(lengths)
            start += len(word)
        raise IndexError(index)

    def within(self, start: int, end: int) -> tuple[int, int]:
        """The tokens, as first and end, that lie wholly between two characters."""
        first, begins = self._at(start)
        return first + (begins < start), self._at(end)[0]

    def _at(self, char: int) -> tuple[int, int]:
        """The token that covers a character, and where that token starts; past the text, its end."""
        piece = bisect_right(self._starts, char) - 1
        token, start = self._firsts[piece], self._starts[piece]
        if start == char or piece == len(self._words):
            return token, start
        for word in self._words[piece]:
            if start + len(word) > char:
                for length in self._lengths[word]:
                    if start + length > char:
                        return token, start
                    token += 1
                    start += length
            token += len(self._lengths[word])
            start += len(word)
        raise IndexError(char)

    def _all(self) -> list[tuple[int, int]]:
        words = chain.from_iterable(self._words)
        lengths = map(self._lengths.__getitem__, words)
        return list(pairwise(accumulate(chain.from_iterable(lengths), initial=0)))


def _leaves_text(tokenizer: Tokenizer) -> bool:
    """Whether the normalizer does nothing to the alphabet: there is none, or NFC."""
    if tokenizer.normalizer is None:
        return True
    state: dict[str, Any] = json.loads(tokenizer.normalizer.__getstate__())
    steps = state["normalizers"] if state["type"] == "Sequence" else [state]
    return all(step["type"] == "NFC" for step in steps)


def _cut(step: dict[str, Any]) -> Cut | None:
    """A step of a pre-tokenizer as a function of a text; None if it is none that we know."""
    kind = step["type"]
    if kind == "ByteLevel" and not step["add_prefix_space"]:
        return _isolating(_GPT2)
    if kind == "Digits":
        return _isolating(r"\p{N}" if step["individual_digits"] else r"\p{N}+")
    if kind == "Split" and step["behavior"] == "Isolated" and not step["invert"]:
        pattern = step["pattern"]
        return _isolating(pattern["Regex"] if "Regex" in pattern else re.escape(pattern["String"]))
    return None


def _isolating(pattern: str) -> Cut | None:
    """Cut a text into what matches and what stands between."""
    translated = in_python(pattern)
    if translated is None:
        return None
    try:
        whole = re.compile(translated, re.ASCII)
        parts = re.compile(f"({translated})", re.ASCII)
    except re.error:
        return None
    if whole.groups or whole.match("") is not None:
        return None
    find, split = whole.findall, parts.split

    def cut(text: str) -> list[str]:
        found = find(text)
        if sum(map(len, found)) == len(text):
            return found
        return [part for part in split(text) if part]

    return cut


def in_python(pattern: str) -> str | None:
    """A regular expression of the library for Python, equal over the alphabet; None if that is uncertain."""
    out: list[str] = []
    inside = False
    # Set operations, POSIX classes and free spacing mean something else in Python.
    if "&&" in pattern or "[[" in pattern or "(?x" in pattern:
        return None
    for name, escaped, opening, closing, other in _PIECE.findall(pattern):
        if name:
            if name not in _CLASSES or (not inside and not _CLASSES[name]):
                return None
            out.append(_CLASSES[name] if inside else f"[{_CLASSES[name]}]")
        elif escaped:
            if escaped not in _ESCAPES:
                return None
            out.append(f"\\{escaped}")
        elif opening:
            if inside:
                return None
            inside = True
            out.append(opening)
        elif closing:
            inside = False
            out.append(closing)
        else:
            out.append(other)
    return "".join(out)
