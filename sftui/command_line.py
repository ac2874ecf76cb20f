"""The command line: which commands and options there are."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sftui import __version__
from sftui.runs import FOLDER

DEFAULTS = {"refresh": 1.0, "glyphs": "auto", "output_dir": None}
_BEFORE_A_COMMAND = ("--refresh", "--glyphs", "--output-dir")  # options that take a value


class _Parser(argparse.ArgumentParser):
    """Options have their whole names: an abbreviation would change its meaning with the next option."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)


def parsers() -> tuple[argparse.ArgumentParser, set[str]]:
    """The parser, whose result has the name of the command in `command`, and the names of all commands."""
    # These may stand on either side of the command: a default of their own would win over what stands before.
    screen = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    screen.add_argument(
        "--refresh", type=_seconds, metavar="SECONDS", help="between two looks at a run (default 1)"
    )
    screen.add_argument("--glyphs", choices=("auto", "braille", "block"), help="how plots are drawn")
    where = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    where.add_argument(
        "--output-dir", type=Path, metavar="DIR", help=f"where the runs are (default {FOLDER})"
    )
    recipe = _Parser(add_help=False)
    recipe.add_argument("recipe", metavar="RECIPE", help="a recipe file, or the name of a ready one")
    recipe.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="e.g. training.learning_rate=1e-4"
    )
    one_run = _Parser(add_help=False)
    one_run.add_argument(
        "run",
        nargs="?",
        metavar="RUN",
        help="id, any part of it that no other has, or a path (default: the live or newest run)",
    )

    parser = _Parser(
        prog="sftui",
        description="A terminal workbench for supervised fine-tuning of language models.",
        epilog="sftui [RECIPE [key=value ..]] opens the workbench; sftui COMMAND --help tells more.",
        parents=[screen, where],
    )
    parser.add_argument("--version", action="version", version=f"sftui {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND")

    def add(name: str, text: str, *parents: _Parser) -> argparse.ArgumentParser:
        one = commands.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + ".", parents=parents
        )
        one.set_defaults(command=name)
        return one

    opening = commands.add_parser("open", parents=[recipe, screen, where])
    opening.set_defaults(command="open")

    demo = add("demo", "train a small model that comes along, watched live", screen, where)
    demo.add_argument("--headless", action="store_true", help="plain progress lines instead of the workbench")
    train = add("train", "train a recipe in the foreground", recipe, where)
    train.add_argument("--detach", action="store_true", help="print the run's id and return")
    preview = add("preview", "show rows token by token, with what is trained", recipe)
    preview.add_argument("--row", metavar="N", help="the row, counted from 0 (default 0)")
    preview.add_argument("--rows", metavar="A:B", help="rows A to B, B not included")
    preview.add_argument(
        "--sequence", type=int, default=0, metavar="N", help="of a row with data.sequence_per: turn"
    )
    preview.add_argument("--eval", action="store_true", help="held-out rows (data.eval)")
    preview.add_argument("--json", action="store_true", help="one JSON document a row on stdout")
    preview.add_argument("--svg", metavar="FILE", help="write a picture instead")
    check = add("check", "say what is wrong with a dataset; exit 1 if a finding is an error", recipe)
    check.add_argument("--json", action="store_true", help="one JSON document on stdout")
    pack = add("pack", "show how sequences share bins under each packing strategy", recipe)
    pack.add_argument("--json", action="store_true", help="one JSON document on stdout")
    pack.add_argument("--layout", action="store_true", help="the row numbers of each bin too")
    pack.add_argument(
        "--strategy",
        choices=("none", "next_fit", "best_fit", "wrapped"),
        help="instead of the recipe's data.packing",
    )
    estimate = add("estimate", "say what memory a training step takes, and whether it fits", recipe)
    estimate.add_argument("--json", action="store_true", help="one JSON document on stdout")
    estimate.add_argument(
        "--gpu",
        metavar="NAME|SIZE",
        help="another GPU than this machine's: 4090, a100, 24GB (default: its first)",
    )
    estimate.add_argument(
        "--compare", action="store_true", help="full fine-tuning, LoRA and QLoRA side by side"
    )
    estimate.add_argument("--why", action="store_true", help="the formula of each component with its numbers")
    recipes = add("recipes", "list the ready recipes, or show one")
    recipes.add_argument("show", nargs="*", metavar="show NAME", help="print a ready recipe")
    recipes.add_argument("--json", action="store_true", help="one JSON document on stdout")
    new = add("new", "make a recipe from a dataset and this machine, with the reason of each choice")
    new.add_argument("data", metavar="DATA", help="a file, pattern, folder, or Hub dataset (owner/name)")
    new.add_argument(
        "overrides",
        nargs="*",
        default=[],
        metavar="key=value",
        help="what is to be so, e.g. data.max_length=1024",
    )
    new.add_argument("--model", metavar="ID|DIR", help="default: one that fits this machine")
    new.add_argument("--gpu", metavar="NAME|SIZE", help="another GPU than this machine's: 4090, a100, 24GB")
    new.add_argument(
        "--method",
        choices=("auto", "qlora", "lora", "full"),
        default="auto",
        help="auto: LoRA where it fits, else QLoRA",
    )
    new.add_argument("-o", "--output", type=Path, metavar="FILE", help="a new file (default: stdout)")
    new.add_argument("--force", action="store_true", help="write over FILE")
    runs = add("runs", "list runs", where)
    runs.add_argument("--json", action="store_true", help="one JSON document on stdout")
    add("attach", "watch a run in the workbench", one_run, where, screen)
    log = add("log", "print the trainer's log", one_run, where)
    log.add_argument("-f", "--follow", action="store_true", help="go on printing until the run ends")
    log.add_argument("-n", "--lines", type=_line_count, metavar="N", help="only the last N lines")
    stop = add("stop", "let a run finish its step, save and end", one_run, where)
    stop.add_argument("--wait", action="store_true", help="return when it has ended")
    stop.add_argument("--kill", action="store_true", help="end it at once, without saving")
    resume = add("resume", "go on after the last checkpoint of a run", one_run, where)
    resume.add_argument("--detach", action="store_true", help="return at once")
    doctor = add("doctor", "tell what this machine has and what is missing")
    doctor.add_argument("--json", action="store_true", help="one JSON document on stdout")
    completion = add("completion", "print what makes a shell complete words of sftui after Tab")
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))
    return parser, set(commands.choices)


def first_word(arguments: Sequence[str]) -> str | None:
    """The first argument that is neither an option nor an option's value."""
    words = iter(arguments)
    for word in words:
        if not word.startswith("-"):
            return word
        if word in _BEFORE_A_COMMAND:
            next(words, None)
    return None


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.1 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"found {text}: expected 0.1 to 3600")
    return value


def _line_count(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"found {text}: expected a number of lines")
    return int(text)
