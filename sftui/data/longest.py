"""The longest sequence of a recipe's rows, where they were tokenised before."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from sftui.data.cache import ENCODED, cache_directory
from sftui.data.chunk import Chunk
from sftui.data.corpus import Corpus
from sftui.data.overview import longest_kept
from sftui.data.reader import DatasetSpec
from sftui.data.store import Store, chunk_name, chunks_of, store_key
from sftui.data.views import Side
from sftui.errors import InputError
from sftui.recipe import Recipe

_MOST = 100_000_000  # bytes of kept tokens that are read for it


def longest_at_hand(recipe: Recipe, side: Side = "train") -> int | None:
    """Tokens of the longest sequence of a side that a run keeps; None where it is not known.

    The training side includes what `data.eval_fraction` holds out, the other is `data.eval`. Tokenises
    nothing and asks no network: all sources must be files, and all rows in the store, where the data screen,
    `check` and runs leave them.
    """
    with suppress(InputError, OSError):
        if not any((cache_directory() / ENCODED).iterdir()):
            return None
        spec = DatasetSpec.of(recipe)
        sources = spec.data.train if side == "train" else spec.data.eval
        if not sources or not all(Path(source.path).expanduser().is_file() for source in sources):
            return None
        corpus = Corpus(sources)
        store = Store(store_key(corpus.identity, spec.tokenizer(), spec.data))
        return _longest(recipe, store, len(corpus))
    return None


def _longest(recipe: Recipe, store: Store, rows: int) -> int | None:
    files = [store.folder / chunk_name(*part) for part in chunks_of(rows)]
    if sum(file.stat().st_size for file in files) > _MOST:
        return None
    longest = 0
    for file in files:
        chunk = Chunk.from_bytes(file.read_bytes())
        if chunk is None:
            return None
        longest = max(longest, longest_kept(chunk.lengths, recipe.data) or 0)
    return longest or None
