"""Token ids of plain ASCII text from the words in it, for byte-level BPE tokenizers.

Such a tokenizer cuts a text into words by a regular expression and encodes each word by itself, so the
tokens of a word that was seen before are known. Most of the time of tokenising goes into cutting and
into the bookkeeping of characters; over ASCII both are simple, and a text costs a third.

What is not certain to come out the same is left to the tokenizers library: other kinds of tokenizers,
text beyond printable ASCII, expressions with anything unusual in them. Of every batch some texts are
encoded both ways; the first difference ends the use of this for good.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, chain, pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

_KNOWN_WORDS = 1 << 20  # at most: some 200 MB
_PLAIN = re.compile(r"[\t\n\r -~]*")
# As byte-level vocabularies spell them (GPT-2's table); printable ASCII stands for itself.
_SPELLED = str.maketrans({" ": "Ġ", "\n": "Ċ", "\t": "ĉ", "\r": "č"})
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_UNCHANGING = frozenset({"NFC", "NFD", "NFKC", "NFKD"})  # normalizers that leave ASCII as it is

# Unicode classes as far as ASCII goes; the empty ones have no ASCII character.
_CLASSES = {
    "L": "A-Za-z",
    "Lu": "A-Z",
    "Ll": "a-z",
    "Lt": "",
    "Lm": "",
    "Lo": "",
    "M": "",
    "N": "0-9",
    "P": r"!\"#%&'()*,\-./:;?@\[\\\]_{}",
    "S": r"$+<=>^`|~",
}
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
        if type(tokenizer.model).__name__ != "BPE" or not _leaves_ascii(tokenizer):
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
        if self._cuts is None or not text.isascii() or _PLAIN.fullmatch(text) is None:
            return None
        words: list[str] = []
        for piece, whole in self._pieces(text):
            if whole:
                words.append(piece)
                continue
            cut = [piece]
            for each in self._cuts:
                cut = each(piece) if len(cut) == 1 else list(chain.from_iterable(map(each, cut)))
            words += cut
        known = self._ids
        try:
            ids = list(chain.from_iterable([known[word] for word in words]))
        except KeyError:
            if len(known) > _KNOWN_WORDS:
                self._forget()
            for word in words:
                if word not in known:
                    self._learn(word)
            ids = list(chain.from_iterable([known[word] for word in words]))
        return WordTokens(ids, words, self._lengths)

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
            if token.content.isascii():
                self._added[token.content] = token_id
        # The library looks for those that are matched before normalisation first.
        for normalized in (False, True):
            group = [
                token.content
                for token in added.values()
                if token.normalized is normalized and token.content and token.content.isascii()
            ]
            if group:
                longest_first = sorted(group, key=len, reverse=True)
                self._separators.append(re.compile(f"({'|'.join(map(re.escape, longest_first))})"))
        self._forget()
        return True

    def _forget(self) -> None:
        self._ids.clear()
        self._lengths.clear()
        for content, token_id in self._added.items():
            self._ids[content] = (token_id,)
            self._lengths[content] = (len(content),)

    def _learn(self, word: str) -> None:
        tokens = self._model.tokenize(word.translate(_SPELLED))
        self._ids[word] = tuple(token.id for token in tokens)
        self._lengths[word] = tuple(len(token.value) for token in tokens)


class WordTokens(Sequence[tuple[int, int]]):
    """The `ids` of a text; as a sequence, the characters that each of them covers."""

    __slots__ = ("_ends", "_lengths", "_words", "ids")

    def __init__(self, ids: list[int], words: list[str], lengths: dict[str, tuple[int, ...]]) -> None:
        self.ids = ids
        self._words = words
        self._lengths = lengths
        self._ends: list[int] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: Any) -> Any:
        ends = self._ends
        if ends is None:
            lengths = self._lengths
            ends = self._ends = list(
                accumulate(chain.from_iterable([lengths[word] for word in self._words]), initial=0)
            )
        if index.__class__ is int and 0 <= index < len(self.ids):
            return ends[index], ends[index + 1]
        return list(pairwise(ends))[index]


def _leaves_ascii(tokenizer: Tokenizer) -> bool:
    """Whether the normalizer does nothing to ASCII."""
    if tokenizer.normalizer is None:
        return True
    state: dict[str, Any] = json.loads(tokenizer.normalizer.__getstate__())
    steps = state["normalizers"] if state["type"] == "Sequence" else [state]
    return all(step["type"] in _UNCHANGING for step in steps)


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
    translated = in_ascii(pattern)
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


def in_ascii(pattern: str) -> str | None:
    """A regular expression of the library in Python's words, equal over ASCII; None if that is uncertain."""
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
