"""Whether transformers, with which a result is used, reads texts as the tokens that are trained.

transformers builds some tokenizers anew from their vocabulary instead of reading tokenizer.json.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from collections.abc import Sequence as Many
from itertools import zip_longest
from pathlib import Path
from typing import Any

from sftui.data.corpus import Corpus
from sftui.data.sequences import Sequence
from sftui.data.tokenizer import ChatTokenizer
from sftui.errors import InputError, shorten
from sftui.recipe import Recipe
from sftui.training.failure import short
from sftui.training.journal import Journal

log = logging.getLogger("sftui")

ROWS = 16
CHARACTERS = 20_000  # of each row: enough for every rule of a tokenizer to show
SECONDS = 15.0


def check_tokenizer(
    recipe: Recipe,
    tokenizer: ChatTokenizer,
    sequences: Many[Sequence],
    corpus: Corpus,
    journal: Journal,
) -> None:
    """Warn if transformers, given the tokenizer's directory, reads some training rows as other tokens.

    What cannot be compared, or not within SECONDS, is left with a line in the log: no run fails by this.
    """
    texts = list(_texts(recipe, tokenizer, sequences, corpus))
    outcome: list[str | None] = []

    def compare() -> None:
        try:
            theirs = load_auto_tokenizer(tokenizer.directory, recipe.model.trust_remote_code)
            outcome.append(first_difference(tokenizer, theirs, texts))
        except Exception as error:  # whatever the code of that tokenizer raises
            log.info("transformers cannot read with this tokenizer, so it is not compared: %s", short(error))
            outcome.append(None)

    # A thread, since loading cannot be interrupted: transformers converts some tokenizers for minutes.
    thread = threading.Thread(target=compare, name="tokenizer-check", daemon=True)
    thread.start()
    thread.join(SECONDS)
    if not outcome:
        log.info("transformers needs more than %g s for this tokenizer, so it is not compared", SECONDS)
    elif outcome[0] is not None:
        journal.warn(outcome[0])


def load_auto_tokenizer(directory: Path, trust_remote_code: bool) -> Any:
    """The tokenizer that transformers makes of the files in `directory`."""
    import transformers

    return transformers.AutoTokenizer.from_pretrained(directory, trust_remote_code=trust_remote_code)


def first_difference(tokenizer: ChatTokenizer, theirs: Any, texts: Iterable[tuple[str, str]]) -> str | None:
    """What to tell of the first of `texts`, pairs of place and text, that both read differently, if any."""
    for where, text in texts:
        ours = tokenizer.encode(text)
        others = theirs(text, add_special_tokens=False, verbose=False)["input_ids"]
        for position, (one, other) in enumerate(zip_longest(ours, others)):
            if one != other:
                read = (
                    f"trained as {_token(tokenizer, one)}, read by transformers as {_token(tokenizer, other)}"
                )
                return (
                    f"{where}, token {position}: {read}; transformers builds this tokenizer otherwise than "
                    "its tokenizer.json: inference with transformers will see other tokens"
                )
    return None


def _texts(
    recipe: Recipe, tokenizer: ChatTokenizer, sequences: Many[Sequence], corpus: Corpus
) -> Iterable[tuple[str, str]]:
    """Places and rendered texts of a few rows, spread over `sequences`."""
    count = min(ROWS, len(sequences))
    for number in range(count):
        sequence = sequences[number * len(sequences) // count]
        try:
            located = tokenizer.trained_text(corpus[sequence.row], recipe.data.train_on)
        except InputError:  # its file has changed since
            continue
        yield sequence.where, located.text[:CHARACTERS]


def _token(tokenizer: ChatTokenizer, token: int | None) -> str:
    # As the vocabulary writes it: decoded, a lone space or half a character would not show.
    return "nothing" if token is None else f"{shorten(tokenizer.backend.id_to_token(token), 30)} ({token})"
