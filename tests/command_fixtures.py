"""Commands as a shell starts them, with stand-ins for trainers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from sftui.runs import launch
from sftui.runs.directory import RunDirectory
from sftui.runs.status import Status
from tests.run_fixtures import (
    ROOT,
)

FINISHED = Status(state="finished", step=9, max_steps=9, loss=0.5, started=1.0, ended=61.0)


class Result(NamedTuple):
    code: int
    out: str
    err: str


def process(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """`sftui` as a process of its own, whose trainers are stand-ins."""
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from types import SimpleNamespace
from sftui.runs import launch
launch.sys = SimpleNamespace(executable={launch.sys.executable!r})
from sftui import progress
progress.POLL_SECONDS = 0.02
from sftui.cli import main
sys.exit(main(sys.argv[1:]))
"""  # type: ignore[attr-defined]
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, "text": True}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], **{**given, **options})


def only_run() -> RunDirectory:
    (path,) = Path("runs").absolute().iterdir()
    return RunDirectory(path)
