"""Opening a file of 1,000,000 rows in the workbench against one of 100, and moving through it.

    python tests/benchmarks/data_screen.py --model DIR [--rows 1000000] [--rounds 5]

DIR holds a tokenizer with a chat template. Each is opened in a pseudo-terminal of 120 x 40 with an
empty cache; the clock stops when the words of the first row arrive there. Then the cursor moves 200
times, while the rows are being analysed on all cores: from the key to the words of the row on the
terminal. The same is done in the small file, where nothing is analysed any more. Prints medians, p99,
the memory of the workbench and of its data processes, and the ratio large/small.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

SMALL = 100
MOVES = 200
SECONDS = 60


@dataclass
class Measured:
    """One opening: seconds to the first row, milliseconds of each move, MiB of memory."""

    opened: float
    moves: list[float] = field(default_factory=list)
    app: float = 0.0
    children: float = 0.0


class Terminal:
    """A command in a pseudo-terminal, and what it has written."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.child = subprocess.Popen(
            command,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **environment},
        )
        os.close(follower)

    def wait(self, marker: bytes) -> None:
        """Until it has written `marker` from now on."""
        seen = b""
        while marker not in seen:
            ready, _, _ = select.select([self.leader], [], [], SECONDS)
            if not ready:
                raise TimeoutError(f"{marker!r} was not painted: {seen[-300:]!r}")
            seen += os.read(self.leader, 65_536)

    def drain(self, seconds: float) -> None:
        """Read what comes in the next seconds."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            if select.select([self.leader], [], [], left)[0]:
                os.read(self.leader, 65_536)

    def press(self, key: bytes, marker: bytes) -> float:
        """Seconds from a key to `marker`."""
        began = time.perf_counter()
        os.write(self.leader, key)
        self.wait(marker)
        return time.perf_counter() - began

    def close(self) -> None:
        """End it."""
        os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()
        os.close(self.leader)


def write_rows(file: Path, rows: int) -> None:
    """Question/answer rows of about 250 bytes, each with its number in front."""
    with file.open("w", encoding="utf-8") as out:
        for row in range(rows):
            words, letters = row % 97, row % 13
            question = f"Q{row:07d} what has a sentence of {words} words that each have {letters} letters?"
            answer = f"It has {words} words, and {words * letters} letters in them. #### {words * letters}"
            out.write(json.dumps({"question": question, "answer": answer}) + "\n")


def measure(folder: Path, name: str, model: str, rows: int, moves: int) -> Measured:
    """Open a file and move through it."""
    recipe = folder / f"{name}.yaml"
    recipe.write_text(f"model: {{name_or_path: {model}}}\ndata: {{train: {name}.jsonl}}\n", encoding="utf-8")
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        began = time.perf_counter()
        terminal = Terminal([sys.executable, "-m", "sftui", str(recipe)], {"SFTUI_CACHE": cache})
        try:
            terminal.wait(b"Q0000000")
            result = Measured(time.perf_counter() - began)
            app = psutil.Process(terminal.child.pid)
            terminal.drain(3.0)
            result.app = app.memory_info().rss / 2**20
            children = app.children(recursive=True)
            result.children = sum(child.memory_info().rss for child in children) / 2**20
            for number in range(moves):
                # Down to the 60th row and up again: the row under the cursor is painted anew.
                down = number // 60 % 2 == 0
                row = number % 60 + 1 if down else 59 - number % 60
                seconds = terminal.press(b"j" if down else b"k", f"Q{row:07d}".encode())
                result.moves.append(1000 * seconds)
                terminal.drain(0.02)
        finally:
            terminal.close()
    return result


def main() -> None:
    """Alternate the two and print what they take."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    found: dict[str, list[Measured]] = {"large": [], "small": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, rows in (("large", options.rows), ("small", SMALL)):
            write_rows(folder / f"{kind}.jsonl", rows)
        for _ in range(options.rounds):
            for kind, rows in (("large", options.rows), ("small", SMALL)):
                found[kind].append(measure(folder, kind, str(Path(options.model).absolute()), rows, MOVES))
    for kind, results in found.items():
        moves = sorted(move for result in results for move in result.moves)
        print(
            f"{kind}: first row {statistics.median(r.opened for r in results):.2f} s, "
            f"move median {statistics.median(moves):.1f} ms, p99 {moves[len(moves) * 99 // 100]:.1f} ms, "
            f"workbench {statistics.median(r.app for r in results):.0f} MiB, "
            f"data processes {statistics.median(r.children for r in results):.0f} MiB"
        )
    ratio = statistics.median(
        large.opened / small.opened for large, small in zip(found["large"], found["small"], strict=True)
    )
    print(f"first row, large/small: {ratio:.2f}")


if __name__ == "__main__":
    main()
