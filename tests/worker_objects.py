"""What data processes host in tests: objects that behave, and objects that do not."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sftui.data import encode
from sftui.data.conversation import Conversation
from sftui.data.corpus import Corpus
from sftui.data.reader import Reader
from sftui.data.views import Side
from sftui.errors import InputError
from tests.run_fixtures import ROOT

DEADLY, HANGING = "ends its process", "hangs its process"


class Host:
    """Does what the tests of workers ask for."""

    def __init__(self, name: str = "") -> None:
        if name == "bad":
            raise InputError("cannot be built", key="name")
        self.name = name
        self.calls = 0

    def echo(self, value: Any) -> Any:
        self.calls += 1
        return value

    def about(self) -> tuple[str, int, int]:
        return self.name, self.calls, os.getpid()

    def refuse(self) -> None:
        raise InputError("is wrong", file="train.jsonl", line=3, key="data.train", hint="mend it")

    def fail(self) -> None:
        raise ZeroDivisionError("of ours")

    def unpicklable(self) -> Any:
        return lambda: None

    def sleep(self, seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    def compute(self) -> None:
        """Never comes back to the interpreter, which therefore sees no signal and no closed pipe."""
        sum(range(1 << 62))

    def loop(self) -> None:
        while True:
            pass

    def die(self) -> None:
        os._exit(3)

    def grow(self) -> int:
        return len(bytearray(64 << 30))

    def speak(self) -> int:
        print("on stdout")
        print("on stderr", file=sys.stderr)
        return os.write(1, b"raw") + os.write(2, b"raw")

    def nice(self) -> int:
        return os.nice(0)


class DeadlyCorpus(Corpus):
    """Ends or hangs the process that reads the row which says so."""

    def __getitem__(self, index: int) -> Conversation:
        found = super().__getitem__(index)
        said = str(found.messages[0]["content"]) if found.messages else ""
        if said == DEADLY:
            os._exit(3)
        if said == HANGING:
            sum(range(1 << 62))
        return found


class DeadlyReader(Reader):
    def corpus(self, side: Side) -> Corpus:
        if side not in self._corpora:
            sources = self._spec.data.train if side == "train" else self._spec.data.eval
            self._corpora[side] = DeadlyCorpus(sources)
        return self._corpora[side]


class HastyReader(Reader):
    """Gives up a slow row sooner."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        encode.RENDER_SECONDS = 0.05


def allow(patch: pytest.MonkeyPatch) -> None:
    """Let data processes import what is hosted here."""
    known = os.environ.get("PYTHONPATH")
    patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *([known] if known else [])]))


def gone(pid: int, seconds: float = 3.0) -> bool:
    """Whether the process has ended, or does within `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


class ForgetfulReader(Reader):
    """Cannot make tokens, only find those that were made."""

    def _encode(self, *_: Any) -> Any:
        raise AssertionError("tokenised again")
