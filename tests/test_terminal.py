"""What the terminal can show is what its environment says, not what Python makes of it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sftui.terminal import is_dumb, locale_name, takes_utf8

UTF8 = "en_US.UTF-8"


@pytest.mark.parametrize(
    ("environ", "name", "answer"),
    [
        ({"LANG": UTF8}, UTF8, True),
        ({"LANG": "C", "LC_CTYPE": "C.utf8"}, "C.utf8", True),
        ({"LANG": UTF8, "LC_CTYPE": UTF8, "LC_ALL": "C"}, "C", False),
        ({"LANG": UTF8, "LC_CTYPE": "POSIX"}, "POSIX", False),
        ({"LANG": UTF8, "LC_ALL": ""}, UTF8, True),
        ({"LANG": "de_DE.ISO-8859-1"}, "de_DE.ISO-8859-1", False),
        ({"LC_MESSAGES": UTF8}, "", False),
        ({}, "", False),
    ],
)
def test_the_locale_of_characters_decides_on_utf8(environ: dict[str, str], name: str, answer: bool) -> None:
    assert locale_name(environ) == name
    assert takes_utf8(environ) is answer


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ({}, False),
        ({"LANG": "C"}, False),
        ({"LC_ALL": "C", "LANG": UTF8}, False),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True),
        ({"LC_ALL": "C.UTF-8"}, True),
        ({"LANG": "C", "PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8"}, False),
    ],
)
def test_what_python_coerces_is_not_taken_for_what_the_terminal_said(
    given: dict[str, str], answer: bool
) -> None:
    plain = {key: value for key, value in os.environ.items() if key != "LANG" and not key.startswith("LC_")}
    command = [sys.executable, "-c", "from sftui.terminal import takes_utf8; print(takes_utf8())"]
    done = subprocess.run(command, env={**plain, **given}, capture_output=True, text=True, check=True)
    assert done.stdout == f"{answer}\n"


@pytest.mark.parametrize(
    ("environ", "dumb"),
    [({}, True), ({"TERM": ""}, True), ({"TERM": "dumb"}, True), ({"TERM": "vt100"}, False)],
)
def test_a_terminal_is_dumb_if_it_says_so_or_says_nothing(environ: dict[str, str], dumb: bool) -> None:
    assert is_dumb(environ) is dumb
