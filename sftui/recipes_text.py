"""The recipes that come with sftui: what each says of itself, as a list, as JSON, and one in full."""

from __future__ import annotations

import difflib
import re
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sftui.errors import InputError
from sftui.json_text import json_text
from sftui.recipe import Recipe
from sftui.recipe_file import parse_recipe, ready_recipes

WIDTH = 80  # columns of a terminal

_ENTRY = re.compile(r"# (What for|GPU|Memory|Time|Command): +(.*)")
_MORE = re.compile(r"# {5,}(\S.*)")


@dataclass(frozen=True, slots=True)
class ReadyRecipe:
    """What a ready recipe says of itself, and its model and method.

    `title` is its first line; `gpu` the GPU that it is made for, the others that do behind a semicolon;
    `memory` and `time` are as the estimator has them for that GPU.
    """

    name: str
    title: str
    what_for: str
    gpu: str
    memory: str
    time: str
    command: str
    model: str
    method: str
    path: str


def method_of(recipe: Recipe) -> str:
    """`full`, `LoRA` or `QLoRA`."""
    if recipe.adapter is None:
        return "full"
    return "LoRA" if recipe.model.quantization == "none" else "QLoRA"


def list_ready() -> tuple[ReadyRecipe, ...]:
    """All ready recipes, by name, numbers in it by their value."""
    return tuple(map(_read, sorted(ready_recipes().glob("*.yaml"), key=_by_number)))


def names() -> str:
    """All of them in a sentence."""
    files = sorted(ready_recipes().glob("*.yaml"), key=_by_number)
    return f"one of {', '.join(file.stem for file in files)}"


def ready_text(name: str) -> str:
    """The file of the ready recipe `name`. Raises InputError with the names most like it."""
    files = {file.stem: file for file in ready_recipes().glob("*.yaml")}
    plain = name.removesuffix(".yaml")
    if plain in files:
        return files[plain].read_text(encoding="utf-8")
    near = difflib.get_close_matches(plain, files, n=3, cutoff=0.5)
    near += sorted(each for each in files if plain and plain in each and each not in near)
    hint = f"did you mean {' or '.join(near)}?" if near else "`sftui recipes` lists them"
    raise InputError("there is no ready recipe of this name", file=name, hint=hint)


def as_json(recipes: Sequence[ReadyRecipe]) -> str:
    """One JSON array."""
    return json_text([asdict(one) for one in recipes], indent=2)


def as_text(recipes: Sequence[ReadyRecipe]) -> str:
    """A table of at most 80 columns, and what to do with it."""
    rows = [("name", "method", "GPU", "memory", "what for")]
    rows += [
        (one.name, one.method, one.gpu.partition(";")[0], one.memory.partition(",")[0], one.title)
        for one in recipes
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    widths[-1] = max(16, WIDTH - sum(widths[:-1]) - 2 * (len(widths) - 1))
    lines = []
    for row in rows:
        *cells, what = row
        title = textwrap.wrap(what, widths[-1])
        begin = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=False))
        lines.append(f"{begin}  {title[0]}")
        lines += [f"{' ' * (len(begin) + 2)}{more}" for more in title[1:]]
    lines += [
        "",
        "train on your rows:  sftui train NAME data.train=my.jsonl",
        "look at one:         sftui recipes show NAME",
        "make it your own:    sftui recipes show NAME > my.yaml",
        "made for your rows:  sftui new my.jsonl",
    ]
    return "\n".join(lines)


def _read(file: Path) -> ReadyRecipe:
    text = file.read_text(encoding="utf-8")
    recipe = parse_recipe(text, file=str(file))
    title, *rest = text.splitlines()
    said: dict[str, str] = {}
    key = ""
    for line in rest:
        if not line.startswith("#"):
            break
        if entry := _ENTRY.fullmatch(line):
            key = entry[1]
            said[key] = entry[2]
        elif (more := _MORE.fullmatch(line)) and key:
            said[key] += f" {more[1]}"
    return ReadyRecipe(
        name=file.stem,
        title=title.removeprefix("# "),
        what_for=said.get("What for", ""),
        gpu=said.get("GPU", ""),
        memory=said.get("Memory", ""),
        time=said.get("Time", ""),
        command=said.get("Command", ""),
        model=recipe.model.name_or_path,
        method=method_of(recipe),
        path=str(file),
    )


def _by_number(file: Path) -> tuple[str | int, ...]:
    parts = re.split(r"(\d+)", file.stem)
    return tuple(int(part) if part.isdecimal() else part for part in parts)
