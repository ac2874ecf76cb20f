"""The longest sequence of a recipe's rows, where they were tokenised before."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from sftui.data.cache import ENCODED, cache_directory
from sftui.data.chunk import Chunk
from sftui.data.corpus import Corpus
from sftui.data.reader import DatasetSpec
from sftui.data.store import Store, chunk_name, chunks_of, store_key
from sftui.errors import InputError
from sftui.recipe import Recipe

_MOST = 100_000_000  # bytes of kept tokens that are read for it


def longest_at_hand(recipe: Recipe) -> int | None:
    """Tokens of the longest sequence that a run keeps, held-out ones included; None where it is not known.

    Tokenises nothing and asks no network: all sources must be files, and all rows in the store, where the
    data screen, `check` and runs leave them.
    """
    with suppress(InputError, OSError):
        if not any((cache_directory() / ENCODED).iterdir()):
            return None
        spec = DatasetSpec.of(recipe)
        if not all(Path(source.path).expanduser().is_file() for source in spec.data.train):
            return None
        corpus = Corpus(spec.data.train)
        store = Store(store_key(corpus.identity, spec.tokenizer(), spec.data))
        return _longest(recipe, store, len(corpus))
    return None


def _longest(recipe: Recipe, store: Store, rows: int) -> int | None:
    files = [store.folder / chunk_name(*part) for part in chunks_of(rows)]
    if sum(file.stat().st_size for file in files) > _MOST:
        return None
    most, drops = recipe.data.max_length, recipe.data.overlength == "drop"
    longest = 0
    for file in files:
        chunk = Chunk.from_bytes(file.read_bytes())
        if chunk is None:
            return None
        kept = (min(each, most) for each in chunk.lengths if each <= most or not drops)
        longest = max(longest, max(kept, default=0))
    return longest or None
