"""Whether the Hugging Face Hub can be reached, known within seconds and without a word on the terminal."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_WAIT_SECONDS = 3.0
_WAIT_VARIABLE = "HF_HUB_ETAG_TIMEOUT"  # how long the Hub's library waits for an answer, where set
_LOUD = {"datasets": "DATASETS_VERBOSITY", "huggingface_hub": "HF_HUB_VERBOSITY"}
_OFFLINE = threading.RLock()


def why_unreached() -> str | None:
    """Why the Hub does not answer, None if it does. Asked at most a few seconds: the library tries for 20.

    Any answer will do. The Hub is where HF_ENDPOINT says, and reached as its library reaches it.
    """
    answers: list[str | None] = []
    seconds = _seconds()

    def ask() -> None:
        from huggingface_hub import constants, get_session

        try:
            get_session().head(constants.ENDPOINT, timeout=seconds)
            answers.append(None)
        except Exception as error:
            answers.append(_first_line(error))

    # In a thread, for nothing bounds how long a name server is waited for.
    asking = threading.Thread(target=ask, name="hub", daemon=True)
    asking.start()
    asking.join(seconds)
    if answers:
        return answers[0]
    return f"no answer within {seconds:g} s; {_WAIT_VARIABLE} sets how many to wait"


@contextmanager
def offline() -> Iterator[None]:
    """`datasets` looks on this machine alone meanwhile."""
    import datasets

    with _OFFLINE:
        before = datasets.config.HF_HUB_OFFLINE
        datasets.config.HF_HUB_OFFLINE = True
        try:
            yield
        finally:
            datasets.config.HF_HUB_OFFLINE = before


def silence() -> None:
    """Keep what the libraries tell of each try off the terminal, unless their own variables ask for it."""
    for name, variable in _LOUD.items():
        if not os.environ.get(variable):
            logging.getLogger(name).setLevel(logging.ERROR)


def _seconds() -> float:
    try:
        return max(_WAIT_SECONDS, float(os.environ.get(_WAIT_VARIABLE, "")))
    except ValueError:
        return _WAIT_SECONDS


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:200] or type(error).__name__
