"""README tells the truth: its commands are parsed, its keys do something, its links lead somewhere."""

from __future__ import annotations

import argparse
import re
import runpy
import shlex
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from textual.binding import Binding

from sftui.command_line import first_word, parsers
from sftui.recipe_fields import field_at
from sftui.recipe_file import ready_recipes
from sftui.screens.app import Workbench
from sftui.screens.data import DataScreen
from sftui.screens.keys import key_name
from sftui.screens.memory import MemoryScreen
from sftui.screens.packing import PackingScreen
from sftui.screens.recipe import RecipeScreen
from sftui.screens.recipe_start import StartRun
from sftui.screens.runs import RunsScreen
from sftui.screens.train import TrainScreen
from tests.run_fixtures import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = PAGES[0].read_text(encoding="utf-8")
SCREENS = {
    "1": DataScreen,
    "2": PackingScreen,
    "3": MemoryScreen,
    "4": RecipeScreen,
    "5": TrainScreen,
    "6": RunsScreen,
}
PICTURE_BYTES = 150_000
# In the place of what a person chooses.
CHOSEN = {
    "[RECIPE]": "my.yaml",
    "RECIPE": "my.yaml",
    "[RUN]": "id",
    "RUN": "id",
    "DATA": "rows",
    "SHELL": "bash",
}


def lines_of(language: str) -> list[str]:
    """The lines of README's code blocks in a language."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", TEXT, flags=re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


def words_of(line: str) -> list[str]:
    """The words after `sftui` in a line of a shell, without a remark beside it."""
    command = re.search(r"\bsftui\b(?![^ ]*/)[^;|&)`]*", re.split(r"   +|#", line)[0])
    assert command is not None, line
    return [CHOSEN.get(word, word) for word in shlex.split(command[0])[1:]]


IN_TEXT = re.findall(r"`((?:systemd-run [^`]*)?sftui(?: [^`]+)?)`", TEXT)
COMMANDS = sorted({shlex.join(words_of(line)) for line in (*lines_of("console"), *IN_TEXT)})
PARSER, KNOWN = parsers()
(SUBPARSERS,) = (one for one in PARSER._actions if isinstance(one, argparse._SubParsersAction))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_in_readme_is_parsed(command: str) -> None:
    words = shlex.split(command)
    named = first_word(words)
    if named is not None and named not in KNOWN:
        assert Path(named).suffix == ".yaml", "no command, so a recipe"
        words = ["open", *words]
    options, more = PARSER.parse_known_args(words)
    assert more == []
    for override in getattr(options, "overrides", []):
        assert field_at(override.partition("=")[0])


def test_every_command_has_its_line_with_options_that_it_has() -> None:
    table = re.findall(r"^\| `sftui ?([a-z]*)[^|]*` \|(.*)\|$", TEXT, flags=re.MULTILINE)
    assert {name or "open" for name, _ in table} == KNOWN
    for name, text in table:
        for option in re.findall(r"`(--?[a-z-]+)", text):
            assert option in SUBPARSERS.choices[name]._option_string_actions, f"sftui {name} {option}"


def test_the_quickstart_is_two_commands() -> None:
    assert len(lines_of("sh")) == 2, ".ci/run runs them"


def test_ready_recipes_in_readme_are_there() -> None:
    shown = [shlex.split(one)[2] for one in COMMANDS if one.startswith("recipes show")]
    assert shown
    for name in shown:
        assert (ready_recipes() / f"{name}.yaml").exists()


def keys_of(bindings: list[Binding]) -> set[str]:
    return {key for binding in bindings for key in key_name(binding).split()}


def bindings_of(owner: type) -> list[Binding]:
    return [binding for binding in owner.BINDINGS if isinstance(binding, Binding)]


def test_keys_in_readme_do_something_where_it_says_so() -> None:
    everywhere = keys_of(bindings_of(Workbench)) | {"Ctrl P"}
    rows = re.findall(r"^\| `(.)` \|(.*)\|$", TEXT, flags=re.MULTILINE)
    assert [key for key, _ in rows] == ["1", "2", "3", "4", "R", "5"]
    for key, text in rows:
        assert key in everywhere
        there = keys_of(bindings_of(StartRun if key == "R" else SCREENS[key]))
        named = re.findall(r"`(\w|[^\w\s]|Enter)`", text)
        assert named
        assert set(named) <= there, f"on {key}: {set(named) - there}"
    prose = re.sub(r"^\|.*$", "", TEXT, flags=re.MULTILINE)
    assert {"S", "q", "?", "T"} <= set(re.findall(r"`([\w?])`", prose)) <= everywhere | {"y", "k"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_of_the_tree_that_are_named_are_there(page: Path) -> None:
    roots = "sftui|screens|recipes|tests|docs"
    for name in re.findall(rf"(?<![\w/~.])(?:{roots})/[\w/]+\.[a-z]+", page.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), name


def test_every_screen_has_its_picture() -> None:
    shown = re.findall(r"!\[[^]]+\]\((docs/images/[^)]+)\)", TEXT)
    assert shown == [f"docs/images/{screen.MODE}.svg" for screen in SCREENS.values()]
    for name in shown:
        picture = (ROOT / name).read_bytes()
        assert len(picture) <= PICTURE_BYTES
        text = "".join(ElementTree.fromstring(picture).itertext())
        assert set(re.findall(r"(?<![\w.…])/[a-z]+/[\w-]*", text)) <= {"/tmp/demo"}, f"{name} shows a path"


def test_the_script_makes_these_pictures_and_none_that_tells_where_it_was_made() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "screenshots.py"))
    assert set(script["SCENES"]) == {screen.MODE for screen in SCREENS.values()}
    assert script["refuse_traces"]("runs", "<svg><text>4 runs in /tmp/demo/runs</text></svg>") is None
    with pytest.raises(SystemExit, match=re.escape(str(Path.home()))):
        script["refuse_traces"]("runs", f"<svg><text>4 runs in {Path.home()}/runs</text></svg>")


def test_variables_in_readme_are_those_that_are_read() -> None:
    read = {
        name
        for file in (ROOT / "sftui").rglob("*.py")
        for name in re.findall(r'environ\.get\("(SFTUI_[A-Z]+)"', file.read_text(encoding="utf-8"))
    }
    assert set(re.findall(r"\bSFTUI_[A-Z_]+", TEXT)) == read
