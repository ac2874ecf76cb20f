"""Time to first paint of `sftui` against a bare Textual app, alternating in one run.

    python tests/benchmarks/first_paint.py [ROUNDS]

Each is started in a pseudo-terminal of 120 x 40; the clock stops when the first text of the first
screen arrives there. Prints milliseconds (median) and the median of the ratios. Budget: ratio 1.6.
"""

from __future__ import annotations

import fcntl
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

BARE = """
from textual.app import App
from textual.widgets import Static
class Bare(App):
    def compose(self):
        yield Static("first paint")
Bare().run()
"""


def first_paint(command: list[str], marker: bytes) -> float:
    """Seconds from starting `command` until `marker` appears on its terminal."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    began = time.perf_counter()
    child = subprocess.Popen(
        command,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
    )
    os.close(follower)
    seen = b""
    try:
        while marker not in seen:
            ready, _, _ = select.select([leader], [], [], 20)
            if not ready:
                raise TimeoutError(f"{command} painted nothing: {seen[-200:]!r}")
            seen += os.read(leader, 65_536)
        return time.perf_counter() - began
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        os.close(leader)


def main() -> None:
    """Alternate the two and print what they take."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    with tempfile.TemporaryDirectory() as folder:
        bare = [sys.executable, "-c", BARE]
        ours = [sys.executable, "-m", "sftui", "--output-dir", folder]
        first_paint(bare, b"first paint")
        first_paint(ours, b"No runs here")
        pairs = [
            (first_paint(bare, b"first paint"), first_paint(ours, b"No runs here")) for _ in range(rounds)
        ]
    for name, values in zip(("bare Textual app", "sftui"), zip(*pairs, strict=True), strict=True):
        print(f"{name:<18} {statistics.median(values) * 1000:6.0f} ms")
    print(f"{'ratio':<18} {statistics.median(b / a for a, b in pairs):6.2f}")


if __name__ == "__main__":
    main()
