"""The file of the open recipe: changes from outside, saving, saving elsewhere."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sftui.errors import InputError
from sftui.new_text import make
from sftui.recipe_document import Document
from sftui.recipe_file import load_recipe, ready_recipes
from sftui.recipe_merge import merged
from sftui.recipe_saved import Saved, write_new

TEXT = """\
# mine
model:
  name_or_path: ./weights
  quantization: none
data:
  train: [{path: data/a.jsonl}, owner/name]
  eval: ../shared/*.jsonl  # held out
  chat_template: t.jinja
output_dir: runs
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "one" / "data").mkdir(parents=True)
    path = tmp_path / "one" / "my.yaml"
    path.write_text(TEXT)
    return path


def test_what_is_read_is_saved_and_read_again(file: Path) -> None:
    file.chmod(0o640)
    saved = Saved(file)
    assert saved.document.recipe == load_recipe(file) and saved.outside_change() is None
    edited = saved.document.with_value("training.seed", 7)
    saved.save(edited)
    assert file.read_text() == edited.text and saved.document is edited and saved.outside_change() is None
    assert stat.S_IMODE(file.stat().st_mode) == 0o640 and len(list(file.parent.iterdir())) == 2


def test_a_change_from_outside_is_seen_and_not_overwritten_unless_told_so(file: Path) -> None:
    saved = Saved(file)
    edited = saved.document.with_value("training.seed", 7)
    outside = TEXT.replace("runs", "sans")  # of the same size, maybe at the same tick of the clock
    file.write_text(outside)
    assert saved.outside_change() == outside
    with pytest.raises(InputError, match=r"my\.yaml: has been changed"):
        saved.save(edited)
    assert file.read_text() == outside
    there = saved.changed()
    assert there is not None
    both = merged(saved.document, edited, there)
    saved.accept(there)
    assert saved.outside_change() is None and not both.conflicts
    saved.save(both.document)
    recipe = load_recipe(file)
    assert recipe.training.seed == 7 and recipe.output_dir.endswith("sans")
    file.write_text(TEXT)
    saved.save(edited, overwrite=True)
    assert file.read_text() == edited.text


def test_a_file_that_is_read_only_is_replaced_only_where_that_is_asked_for(file: Path) -> None:
    file.chmod(0o444)
    saved = Saved(file)
    edited = saved.document.with_value("training.seed", 7)
    with pytest.raises(InputError, match=r"is read-only\n.*chmod u\+w"):
        saved.save(edited)
    assert file.read_text() == TEXT
    saved.save(edited, overwrite=True)
    assert file.read_text() == edited.text and stat.S_IMODE(file.stat().st_mode) == 0o444


def test_a_file_written_anew_with_the_same_text_is_no_change(file: Path) -> None:
    saved = Saved(file)
    os.utime(file, ns=(1, 1))
    assert saved.outside_change() is None
    reads: list[int] = []
    saved._read = lambda: reads.append(1)  # type: ignore[method-assign]
    assert saved.outside_change() is None and not reads  # known from its time and size alone


def test_a_file_that_is_gone_is_made_again(file: Path) -> None:
    saved = Saved(file)
    file.unlink()
    assert saved.outside_change() is None
    saved.save(saved.document)
    assert file.read_text() == TEXT


def test_a_link_stays_a_link(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(file)
    saved = Saved(link)
    saved.save(saved.document.with_value("training.seed", 7))
    assert link.is_symlink() and "seed: 7" in file.read_text() and saved.outside_change() is None


def test_terminals_that_merge_and_try_again_lose_nothing(file: Path) -> None:
    keys = ["training.seed", "data.max_length", "training.sample_rows", "training.max_steps"]
    terminals = [Saved(file) for _ in keys]

    def work(saved: Saved, key: str) -> None:
        for value in range(2, 12):
            edited = saved.document.with_value(key, value)
            while True:
                try:
                    saved.save(edited)
                    break
                except InputError:
                    there = saved.changed()
                    if there is not None:
                        edited = merged(saved.document, edited, there).document
                        saved.accept(there)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(terminals, keys, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    document = Saved(file).document
    assert [document.value(key) for key in keys] == [11] * len(keys) and "# held out" in document.text


def test_what_is_no_recipe_can_be_opened_and_mended(file: Path) -> None:
    file.write_text("model: [\n")
    saved = Saved(file)
    assert saved.document.recipe is None
    saved.save(saved.document.with_text(TEXT))
    assert load_recipe(file)
    file.write_bytes(b"\xff")
    with pytest.raises(InputError, match="not UTF-8"):
        Saved(file)
    with pytest.raises(InputError, match="not UTF-8"):
        saved.outside_change()


def test_what_cannot_be_written_is_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = Saved(file)
    with pytest.raises(InputError, match=r"my\.yaml:10: cannot be written as UTF-8"):
        saved.save(saved.document.with_text(TEXT + "# \ud800\n"))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        saved.save(saved.document.with_value("training.seed", 7))
    assert file.read_text() == TEXT and len(list(file.parent.iterdir())) == 2


def test_a_ready_recipe_is_saved_as_a_file_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    saved = Saved("qlora-smollm2")
    assert saved.ready and saved.document.base == tmp_path
    with pytest.raises(InputError, match=r"comes with sftui(.|\n)*save it as"):
        saved.save(saved.document)
    with pytest.raises(InputError, match="another folder"):
        saved.save_as(ready_recipes() / "x.yaml", saved.document)
    own = saved.save_as("my.yaml", saved.document)
    assert not own.ready and (tmp_path / "my.yaml").read_text() == saved.document.text
    own.save(own.document.with_value("training.seed", 7))


@pytest.mark.parametrize("folder", ["one/two", "three", "."])
def test_in_another_folder_the_paths_lead_where_they_led(file: Path, tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    (file.parent / "data" / "a.jsonl").write_text("")
    saved = Saved(file)
    target = tmp_path / folder / "new.yaml"
    new = saved.save_as(target, saved.document).document
    before, after = load_recipe(file), load_recipe(target)
    for one, other in (
        (before.model.name_or_path, after.model.name_or_path),
        (before.data.train[0].path, after.data.train[0].path),
        (before.data.eval[0].path, after.data.eval[0].path),
        (before.data.chat_template, after.data.chat_template),
    ):
        assert os.path.realpath(str(one)) == os.path.realpath(str(other))
    assert after.data.train[1].path == "owner/name" and after.output_dir == str(target.parent / "runs")
    assert (
        "# mine" in new.text
        and "# held out" in new.text
        and not Path(new.value("data.eval.0.path")).is_absolute()
    )
    assert file.read_text() == TEXT


def test_paths_behind_a_link_are_written_in_full(file: Path, tmp_path: Path) -> None:
    real = tmp_path / "far" / "away"
    real.mkdir(parents=True)
    (tmp_path / "here").symlink_to(real)
    saved = Saved(file)
    new = saved.save_as(tmp_path / "here" / "new.yaml", saved.document).document
    assert new.value("data.train.0.path") == str(file.parent / "data" / "a.jsonl")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("x.txt", "expected the name of a recipe (.yaml)"),
        ("none/x.yaml", "there is no directory"),
        ("one", "is a directory"),
        ("one/my.yaml", "is there already"),
        (str(ready_recipes() / "x.yaml"), "is among the recipes that come with sftui"),
    ],
)
def test_every_way_to_a_new_file_refuses_the_same(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ready = Saved("qlora-smollm2")
    ways: tuple[Callable[[], object], ...] = (
        lambda: ready.save_as(name, ready.document),
        lambda: write_new(name, Document(TEXT)),
        lambda: make(
            "no.jsonl", model=None, gpu="4090", method="auto", overrides=(), file=Path(name), force=False
        ),
    )
    for way in ways:
        with pytest.raises(InputError) as error:
            way()
        assert error.value.problem.startswith(told) and error.value.file == name
    assert file.read_text() == TEXT


def test_a_name_of_the_hub_does_not_become_a_path(file: Path, tmp_path: Path) -> None:
    (tmp_path / "owner").mkdir()
    saved = Saved(file)
    with pytest.raises(InputError, match=r"data\.train\.1\.path: 'owner/name' would be a path"):
        saved.save_as(tmp_path / "new.yaml", saved.document)
    assert not (tmp_path / "new.yaml").exists()


def test_saving_elsewhere_overwrites_nothing_unless_told_so(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "one" / "other.yaml"
    other.write_text("theirs")
    saved = Saved(file)
    with pytest.raises(InputError, match="is there already"):
        saved.save_as(other, saved.document)
    assert other.read_text() == "theirs"
    with pytest.raises(InputError, match="is a directory"):
        saved.save_as(tmp_path, saved.document)
    with pytest.raises(InputError, match="no directory"):
        saved.save_as(tmp_path / "none" / "x.yaml", saved.document)
    assert saved.save_as(other, saved.document, overwrite=True).document == Document(
        TEXT, str(other), other.parent
    )
    assert saved.save_as(file, saved.document) is saved
