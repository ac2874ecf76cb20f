"""Changes to a recipe: applied to what is open, and written into its file with all else left alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftui.errors import InputError
from sftui.recipe_file import load_recipe, parse_recipe, ready_recipes
from sftui.recipe_save import as_override, save_changes, value_of, with_changes

TEXT = """\
# my recipe

model:
    name_or_path: "owner/x"   # the model
data:
    # rows
    train:
        - path: a.jsonl   # first
          limit: 5
        - {path: b.jsonl}
    max_length: 512    # short

    train_on: 'assistant'
training:
  learning_rate: 2.0e-4
  seed: 0x10


# the end
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my.yaml"
    path.write_text(TEXT)
    return path


def test_only_the_lines_that_change_change(file: Path) -> None:
    save_changes(file, {"data.max_length": 1024, "data.overlength": "truncate", "data.chat_template": None})
    before, after = TEXT.splitlines(), file.read_text().splitlines()
    assert [line for line in after if line not in before] == [
        "    max_length: 1024    # short",
        "    overlength: truncate",
        "    chat_template: null",
    ]
    assert [line for line in before if line not in after] == ["    max_length: 512    # short"]
    data = load_recipe(file).data
    assert (data.max_length, data.overlength, data.chat_template) == (1024, "truncate", None)


@pytest.mark.parametrize(
    "text",
    [
        "model: {name_or_path: x}\ndata: {train: a.jsonl, max_length: 5}  # flow\n",
        "model: {name_or_path: x}\ndata:\n  train: a.jsonl\n  max_length: &a 5\ntraining:\n  seed: *a\n",
        "model: {name_or_path: x}\ndata:\n  train: a.jsonl\n  chat_template:\n  max_length: 3",
        "model: {name_or_path: x}\ndata:\n  max_length:\n    5\n  train:\n  - a\n# end\n",
        "model: {name_or_path: x}\ndata:\n  train:\n  - a\n  - b\n# c\ntraining: {}\n",
        'model: {name_or_path: x}\ndata:\n    train: [a]   # x\n    "max_length": 7\n',
    ],
)
def test_every_way_to_write_a_section_takes_a_change(tmp_path: Path, text: str) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(text)
    before = load_recipe(file)
    changes = {"data.max_length": 1024, "data.chat_template": "a: b #c"}
    save_changes(file, changes)
    assert load_recipe(file) == with_changes(before, changes)
    for comment in ("# flow", "# end", "# c", "# x"):
        assert (comment in text) <= (comment in file.read_text())


@pytest.mark.parametrize(
    ("before", "changes", "after"),
    [
        (
            "data: {train: [{path: a.jsonl}],  max_length: 5}   # short\n",
            {"data.max_length": 1024},
            "data: {train: [{path: a.jsonl}],  max_length: 1024}   # short\n",
        ),
        (
            "data: {train: a.jsonl, chat_template: chatml, max_length: 5}\n",
            {"data.chat_template": "a, {b}.jinja"},
            "data: {train: a.jsonl, chat_template: 'a, {b}.jinja', max_length: 5}\n",
        ),
        (
            "data: {\n  train: [{path: a}],  # rows\n  max_length: 5,  # tokens\n}\n",
            {"data.overlength": "truncate", "data.max_length": 6},
            "data: {\n  train: [{path: a}],  # rows\n  max_length: 6, overlength: truncate,  # tokens\n}\n",
        ),
    ],
)
def test_within_braces_too_only_the_value_changes(
    tmp_path: Path, before: str, changes: dict[str, object], after: str
) -> None:
    file, model = tmp_path / "r.yaml", "model: {name_or_path: x}  # m\n"
    file.write_text(model + before)
    save_changes(file, changes)
    assert file.read_text() == model + after


@given(
    st.dictionaries(
        st.sampled_from(["data.chat_template", "model.name_or_path", "output_dir"]),
        st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=20),
    )
)
def test_any_text_can_be_saved_and_read_again(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, str]
) -> None:
    file = tmp_path_factory.mktemp("r") / "r.yaml"
    file.write_text(TEXT)
    changes = {key: f"x/{value}" for key, value in changes.items()}
    save_changes(file, changes)
    recipe = parse_recipe(file.read_text())
    assert {key: value_of(recipe, key) for key in changes} == changes
    assert "# the end" in file.read_text()


def test_what_was_edited_meanwhile_stays(file: Path) -> None:
    file.write_text(TEXT.replace("seed: 0x10", "seed: 7 # mine").replace("512", "600"))
    save_changes(file, {"data.max_length": 1024})
    recipe = load_recipe(file)
    assert recipe.training.seed == 7 and recipe.data.max_length == 1024 and "# mine" in file.read_text()


def test_line_ends_mark_and_permissions_stay(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    file.chmod(0o640)
    save_changes(file, {"data.max_length": 1024})
    data = file.read_bytes()
    assert data.startswith(b"\xef\xbb\xbf# my") and b"max_length: 1024    # short\r\n" in data
    assert data.count(b"\n") == data.count(b"\r\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_a_link_stays_a_link(tmp_path: Path, file: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(file)
    save_changes(link, {"data.max_length": 1024})
    assert link.is_symlink() and "1024" in file.read_text()


def test_a_ready_recipe_is_not_written_to_and_the_hint_says_how_to_copy_it() -> None:
    ready = ready_recipes() / "qlora-smollm2.yaml"
    before = ready.read_bytes()
    with pytest.raises(InputError, match=r"comes with sftui(.|\n)*cp ") as raised:
        save_changes("qlora-smollm2", {"data.max_length": 5})
    assert str(ready) in str(raised.value) and ready.read_bytes() == before


def test_a_file_that_is_no_recipe_by_now_is_left_as_it_is(file: Path) -> None:
    file.write_text("model: [\n")
    with pytest.raises(InputError, match=r"my\.yaml"):
        save_changes(file, {"data.max_length": 5})
    assert file.read_text() == "model: [\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_told(file: Path) -> None:
    file.parent.chmod(0o500)
    try:
        with pytest.raises(InputError, match="cannot be written"):
            save_changes(file, {"data.max_length": 5})
    finally:
        file.parent.chmod(0o700)
    assert file.read_text() == TEXT


def test_a_write_that_fails_leaves_the_file_and_nothing_beside_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        save_changes(file, {"data.max_length": 5})
    assert file.read_text() == TEXT and list(file.parent.iterdir()) == [file]


def test_changes_are_applied_to_a_copy_and_what_does_not_fit_is_refused() -> None:
    recipe = parse_recipe(TEXT)
    changed = with_changes(recipe, {"data.train_on": "last_assistant", "data.max_length": 64})
    assert changed.data.train_on == "last_assistant" and changed.data.max_length == 64
    assert recipe.data.train_on == "assistant" and recipe.data.max_length == 512
    assert changed.model == recipe.model and changed.data.train == recipe.data.train
    with pytest.raises(InputError, match=r"data\.max_length=1"):
        with_changes(recipe, {"data.max_length": 1})


def test_a_change_is_told_as_it_is_typed() -> None:
    assert as_override("data.max_length", 5) == "data.max_length=5"
    assert as_override("data.chat_template", None) == "data.chat_template=null"
