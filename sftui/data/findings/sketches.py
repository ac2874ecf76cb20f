"""A row's text in a few bytes, by which equal and nearly equal rows are found.

A sketch is a hash of the whole text and a min-hash of its word triples: the share of equal slots of two
sketches estimates the Jaccard similarity of their sets of triples (Broder 1997), one byte a slot
(b-bit min-wise hashing, Li and König 2010).
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import TYPE_CHECKING, Any
from zlib import crc32

from sftui.data.conversation import Conversation

if TYPE_CHECKING:
    from numpy import uint32
    from numpy.typing import NDArray

HASH_BYTES = 8
SLOTS = 72
SKETCH_BYTES = HASH_BYTES + SLOTS
NO_SKETCH = bytes(SKETCH_BYTES)

_WORDS = 8  # a text with fewer only counts as an exact duplicate
_TRIPLES = 512  # of a longer text, those with the smallest hashes stand for all
_WORD_BYTES = 24  # longer on average than words are: a script without spaces
_SPACES = bytes(
    32 if chr(byte) in "!\"#$%&'()*,./:;<=>?@[\\]^_`{|}~\n\r\t\v\f" else byte for byte in range(256)
)


def duplicate_text(conversation: Conversation) -> str:
    """What of a row is compared: what user and assistant say, and the tools that it calls."""
    if conversation.text is not None:
        return conversation.text
    parts = []
    for message in conversation.messages:
        if message["role"] not in ("user", "assistant"):
            continue
        content, calls = message.get("content"), message.get("tool_calls")
        if content and isinstance(content, str):
            parts.append(content)
        if calls:
            parts.append(json.dumps(calls, ensure_ascii=False, default=str))
    return "\n".join(parts)


def sketch(text: str) -> bytes:
    """SKETCH_BYTES that tell of `text` without case and width of white space; NO_SKETCH of an empty one.

    The same in every process and version of Python.
    """
    words = text.casefold().split()
    if not words:
        return NO_SKETCH
    normal = " ".join(words).encode("utf-8", "surrogatepass")
    exact = hashlib.blake2b(normal, digest_size=HASH_BYTES).digest()
    return exact + _slots(normal)


def _slots(normal: bytes) -> bytes:
    """The smallest hash of the text's word triples under each of SLOTS hash functions, one byte of each."""
    import numpy as np

    words = normal.translate(_SPACES).split()
    if len(words) * _WORD_BYTES < len(normal):
        characters = normal.decode("utf-8", "surrogatepass").replace(" ", "")
        hashes = np.frombuffer(characters.encode("utf-32-le", "surrogatepass"), np.uint32) * np.uint32(
            0x9E3779B1
        )
    else:
        hashes = np.fromiter(map(crc32, words), np.uint32, len(words))
    if len(hashes) < _WORDS:
        return bytes(SLOTS)
    triples = hashes[:-2] * np.uint32(0x85EBCA6B) + hashes[1:-1] * np.uint32(0xC2B2AE35) + hashes[2:]
    triples ^= triples >> np.uint32(15)
    triples *= np.uint32(0x2C1B3C6D)
    triples ^= triples >> np.uint32(13)
    if len(triples) > _TRIPLES:
        triples = np.unique(triples)[:_TRIPLES]
    factors, terms = _functions()
    smallest: NDArray[uint32] = (factors * triples + terms).min(axis=1)
    slots = (smallest >> np.uint32(8)).astype(np.uint8)
    slots[0] |= 1  # of a short text all are zero
    return slots.tobytes()


@cache
def _functions() -> tuple[NDArray[uint32], NDArray[uint32]]:
    """Factors and terms of the hash functions, each as a column; from a fixed stream of bytes."""
    import numpy as np

    stream = hashlib.shake_128(b"sftui sketch 1").digest(8 * SLOTS)
    numbers: NDArray[Any] = np.frombuffer(stream, "<u4").astype(np.uint32).reshape(2, SLOTS, 1)
    return numbers[0] | np.uint32(1), numbers[1]
