"""`sftui log`: all of it, its end, and what comes."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from sftui.cli import main
from sftui.runs.status import write_status
from tests.command_fixtures import FINISHED, Result, process
from tests.run_fixtures import (
    alive,
    held,
    new_run,
)


def test_the_log_is_printed_whole_or_its_last_lines(sftui: Any) -> None:
    run = new_run(Path("runs"), FINISHED)
    assert sftui("log") == Result(0, "", f"{run.id}: no log yet\n")
    lines = [f"line {number} äöü" for number in range(20_000)]
    run.log_file.write_text("\n".join(lines) + "\n")
    assert sftui("log").out.splitlines() == lines
    for wanted in (1, 2, 7, 19_999, 20_000, 50_000):
        assert sftui("log", "-n", str(wanted)).out.splitlines() == lines[-wanted:]
    assert sftui("log", "-n", "0") == Result(0, "", "")
    run.log_file.write_text("no end of line")
    assert sftui("log", "-n", "1").out == "no end of line"
    run.log_file.write_bytes(b"")
    assert sftui("log", "-n", "3").out == ""
    run.log_file.write_bytes(b"a\n\nb\xff\n")
    assert sftui("log", "-n", "2").out == "\nb\ufffd\n"


def test_the_log_is_followed_until_the_run_ends_and_nothing_is_lost_or_torn(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = new_run(Path("runs"))
    alive(run)
    whole = "".join(f"zeile {number} grüße 😀\n" for number in range(40)).encode()
    run.log_file.write_bytes(whole[:100])

    def write() -> None:
        with held(run), run.log_file.open("ab", buffering=0) as log:
            going.set()
            for start in range(100, len(whole), 9):
                log.write(whole[start : start + 9])
                time.sleep(0.002)
            write_status(run, FINISHED)

    going = threading.Event()
    writer = threading.Thread(target=write)
    writer.start()
    going.wait()
    assert main(["log", "-f", "-n", "1000"]) == 0
    writer.join()
    assert capsys.readouterr().out == whole.decode()


@pytest.mark.parametrize("size", [10, 1_000_000], ids=["when it ends", "while it writes"])
def test_a_reader_that_goes_away_is_no_error(size: int) -> None:
    run = new_run(Path("runs"), FINISHED)
    run.log_file.write_text("x\n" * size)
    reading, writing = os.pipe()
    with process("log", stdout=writing) as child:
        os.close(writing)
        os.close(reading)
        _, err = child.communicate(timeout=20)
    assert (child.returncode, err) == (0, "")


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_following_a_log_ends_when_its_reader_goes_away_though_nothing_is_printed(kind: str) -> None:
    run = new_run(Path("runs"))
    alive(run)
    run.log_file.write_text("one\ntwo\n")
    if kind == "pipe":
        reading, writing = os.pipe()
    else:
        reading, writing = (end.detach() for end in socket.socketpair())
    with held(run), process("log", "-f", stdout=writing) as child:
        os.close(writing)
        assert os.read(reading, 100) == b"one\ntwo\n"
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.3)
        os.close(reading)
        _, err = child.communicate(timeout=20)
    assert (child.returncode, err) == (0, "")


def test_a_terminal_that_lacks_a_character_gets_another() -> None:
    run = new_run(Path("runs"), FINISHED)
    run.log_file.write_text("größe\n")
    with process("log", env={**os.environ, "PYTHONIOENCODING": "ascii"}) as child:
        out, err = child.communicate(timeout=20)
    assert (child.returncode, out, err) == (0, "gr??e\n", "")
