"""Words that a shell completes after Tab: recipes, their keys, runs, GPUs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import argcomplete
from argcomplete.shell_integration import shellcode

from sftui.errors import InputError
from sftui.runs import FOLDER

RECIPES = (".yaml", ".yml")


def shell_code(shell: str) -> str:
    """What a shell reads to complete words of sftui."""
    code: str = shellcode(["sftui"], shell=shell)
    return code if code.endswith("\n") else f"{code}\n"


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that asks what comes next, and end; return where none asks."""
    for one in _all_parsers(parser):
        for action in one._actions:
            completer = _COMPLETERS.get("COMMAND" if action.dest == "==SUPPRESS==" else action.dest)
            if completer is not None:
                action.completer = completer  # type: ignore[attr-defined]
    argcomplete.autocomplete(parser, always_complete_options=False)


def _all_parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.values()


def recipes(prefix: str, **_: Any) -> list[str]:
    """Recipe files and folders below what is typed, and the ready recipes."""
    return [*_paths(prefix, RECIPES), *([] if "/" in prefix else _ready())]


def shown(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """`show`, then the name of a ready recipe."""
    return _ready() if getattr(parsed_args, "show", None) else ["show"]


def overrides(prefix: str, **_: Any) -> list[str]:
    """Keys of the recipe with their `=`, or the values of a key that has few."""
    from sftui.recipe_fields import FIELDS, field_at

    key, sign, _value = prefix.partition("=")
    if not sign:
        return [f"{field.key}=" for field in FIELDS]
    try:
        field = field_at(key)
    except InputError:
        return []
    values = ("true", "false") if field.kind == "switch" else field.choices
    return [f"{key}={value}" for value in values]


def runs(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Ids of runs, the newest first."""
    from sftui.runs.listing import list_runs

    folder = Path(getattr(parsed_args, "output_dir", None) or FOLDER)
    return [one.run.id for one in list_runs(folder)]


def gpus(prefix: str, **_: Any) -> list[str]:
    """Names of GPUs."""
    from sftui.memory.gpus import GPUS

    return [gpu.short for gpu in GPUS]


def files(prefix: str, **_: Any) -> list[str]:
    """Files and folders."""
    return _paths(prefix, ())


def _ready() -> list[str]:
    from sftui.recipe_file import ready_recipes

    return sorted(file.stem for file in ready_recipes().glob("*.yaml"))


def _paths(prefix: str, endings: tuple[str, ...]) -> list[str]:
    """What lies where `prefix` is: folders with a slash, and files, of these endings if there are any."""
    folder, _, name = prefix.rpartition("/")
    begin = f"{folder}/" if "/" in prefix else ""
    try:
        entries = sorted(Path(begin or ".").expanduser().iterdir())
    except OSError:
        return []
    hidden = name.startswith(".")
    found = []
    for entry in entries:
        if entry.name.startswith(".") and not hidden:
            continue
        if entry.is_dir():
            found.append(f"{begin}{entry.name}/")
        elif not endings or entry.suffix in endings:
            found.append(f"{begin}{entry.name}")
    return found


_COMPLETERS = {
    "COMMAND": recipes,
    "recipe": recipes,
    "overrides": overrides,
    "run": runs,
    "gpu": gpus,
    "show": shown,
    "data": files,
    "model": files,
    "output": files,
}
