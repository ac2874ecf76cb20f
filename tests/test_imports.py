"""Which room imports what: asked of fresh interpreters, and of the sources."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.run_fixtures import ROOT

HEAVY = {"torch", "transformers", "datasets", "numpy", "peft", "bitsandbytes", "accelerate"}
ENGINE = sorted((ROOT / "sftui").rglob("*.py"))
SCREENS = sorted((ROOT / "screens").rglob("*.py"))

# The door between the two processes: these belong to the trainer's room but are opened without torch.
LIGHT = {
    "sftui.training",
    "sftui.training.__main__",
    "sftui.training.journal",
    "sftui.training.failure",
    "sftui.training.processes",
}

PROGRAM = """
import importlib, json, sys
loaded = {}
for name in sys.argv[1:]:
    importlib.import_module(name)
    loaded[name] = sorted({module.partition(".")[0] for module in sys.modules})
print(json.dumps(loaded))
"""


def name_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def loaded_by(*modules: str) -> dict[str, set[str]]:
    """Top-level packages in a fresh interpreter after importing the modules one after the other."""
    command = [sys.executable, "-P", "-c", PROGRAM, *modules]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name: set(packages) for name, packages in json.loads(done.stdout).items()}


LIGHT_ENGINE = [
    name
    for name in map(name_of, ENGINE)
    if name in LIGHT or (not name.startswith("sftui.training") and name != "sftui.__main__")
]


def test_the_engine_imports_neither_textual_nor_anything_heavy() -> None:
    offenders = {
        name: packages & (HEAVY | {"textual"})
        for name, packages in loaded_by(*LIGHT_ENGINE).items()
        if packages & (HEAVY | {"textual"})
    }
    # Imported one after the other, all that come after the first offender are named: it is the first.
    assert next(iter(offenders.items()), None) is None


def test_the_engine_is_more_than_a_few_modules() -> None:
    assert {"sftui.cli", "sftui.recipe_file", "sftui.runs.launch", "sftui.data.tokenizer"} <= set(
        LIGHT_ENGINE
    )
    assert loaded_by("textual")["textual"] >= {"textual", "rich"}, "what is loaded is seen"


def test_the_workbench_opens_without_what_only_a_trainer_or_a_recipe_needs() -> None:
    loaded = loaded_by(
        "sftui.screens.app",
        "sftui.screens.runs",
        "sftui.screens.train",
        "sftui.screens.data",
        "sftui.screens.data_changes",
        "sftui.screens.recipe",
        "sftui.screens.recipe_start",
        "sftui.screens.recipe_new",
        "sftui.screens.recipe_open",
    )
    assert "textual" in loaded["sftui.screens.app"]
    for name, packages in loaded.items():
        assert (
            packages & (HEAVY | {"pydantic", "ruamel", "jinja2", "tokenizers", "huggingface_hub"}) == set()
        ), name


def test_a_command_that_reads_runs_starts_without_recipes_and_screens() -> None:
    loaded = loaded_by("sftui.cli", "sftui.runs.listing", "sftui.table", "sftui.progress")["sftui.progress"]
    assert loaded & (HEAVY | {"textual", "rich", "pydantic", "ruamel", "jinja2", "psutil"}) == set()


def imports(file: Path) -> list[tuple[str, int]]:
    """Modules that a source imports, at any depth, with the number of dots before their names."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, 0) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            found.append((module, node.level))
            found += [(f"{module}.{alias.name}", node.level) for alias in node.names]
    return found


def test_nothing_in_the_engine_names_textual_or_the_screens_but_the_one_door() -> None:
    doors = {
        (name_of(file), module)
        for file in ENGINE
        for module, _ in imports(file)
        if module.partition(".")[0] == "textual" or module.startswith("sftui.screens")
    }
    assert doors == {("sftui.cli", "sftui.screens.app"), ("sftui.cli", "sftui.screens.app.Workbench")}
    (cli,) = (file for file in ENGINE if name_of(file) == "sftui.cli")
    top = ast.parse(cli.read_text()).body
    assert not any(
        "screens" in ast.unparse(node) for node in top if isinstance(node, ast.Import | ast.ImportFrom)
    )


@pytest.mark.parametrize("file", [file for file in ENGINE if "demo" not in file.parts], ids=name_of)
def test_only_the_trainers_room_names_torch(file: Path) -> None:
    heavy = {module.partition(".")[0] for module, level in imports(file) if not level} & HEAVY
    name = name_of(file)
    allowed = {"numpy"} if name.startswith("sftui.data.") else set()
    allowed |= {"datasets"} if name.startswith("sftui.data.sources.hub") else set()
    assert heavy <= allowed or name.startswith("sftui.training."), f"{file} imports {heavy}"


@pytest.mark.parametrize("file", SCREENS, ids=name_of)
def test_screens_name_each_other_by_relative_imports(file: Path) -> None:
    """`screens/` is installed as `sftui.screens`: an absolute name would be right in one place only."""
    for module, level in imports(file):
        if level:
            depth = len(file.relative_to(ROOT / "screens").parts)
            assert level <= depth, f"{file} reaches out of screens/ by dots: the engine has a name"
        else:
            assert module.partition(".")[0] not in ("screens", "recipes", "tests")
            assert not module.startswith("sftui.screens")
            assert not module.startswith("sftui.training")


def test_the_screens_are_more_than_a_few_files() -> None:
    assert {"screens.app", "screens.train", "screens.runs", "screens.widgets.plot"} <= set(
        map(name_of, SCREENS)
    )
