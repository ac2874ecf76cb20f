"""The simulation as a process, and the client that asks it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from sftui.errors import InputError
from sftui.memory import simulated as client
from sftui.memory.simulated import CancelledError, document, read_document, simulated
from tests.training.conftest import MakeRecipe


def ask(request: str) -> Any:
    command = [sys.executable, "-m", "sftui.training.simulation"]
    done = subprocess.run(command, input=request, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTUI_CACHE", str(tmp_path / "cache"))


def test_a_question_is_answered_once_and_then_known(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe()
    assert client.cached(recipe) is None
    found = simulated(recipe, {"rows": 3})
    assert found.peak_bytes == sum(found.components.values()) > 0
    assert {"load", "forward", "loss", "backward_last", "backward_first", "save"} <= found.moments.keys()
    assert found.parameters.total > found.parameters.trainable > 0
    assert read_document(document(found)) == found

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr(client.subprocess, "Popen", refuse)
    assert simulated(recipe, {"rows": 3}) == found
    assert client.cached(recipe) is None, "another step is another question"
    assert client.cached(make_recipe("model.dtype=bfloat16"), {"rows": 3}) is None
    config = Path(recipe.model.name_or_path, "config.json")
    before = config.read_text()
    try:
        config.write_text(before + " ")
        assert client.cached(recipe, {"rows": 3}) is None, "another model of the same name"
    finally:
        config.write_text(before)


def test_a_torn_answer_in_the_cache_is_none(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe()
    entry = client._entry(recipe, {})
    entry.parent.mkdir(parents=True)
    for text in ("", "{", "[]", '{"moments": {"load": {}}}', "null"):
        entry.write_text(text)
        assert client.cached(recipe) is None


def children() -> set[int]:
    return {each.pid for each in psutil.Process().children()}


def test_what_is_not_wanted_any_more_ends_its_process(make_recipe: MakeRecipe) -> None:
    started = time.monotonic()
    before = children()
    given_up = threading.Event()
    threading.Timer(0.3, given_up.set).start()
    with pytest.raises(CancelledError):
        simulated(make_recipe(), cancelled=given_up.is_set)
    assert time.monotonic() - started < 30
    assert children() <= before, "nothing is left behind"


def test_an_error_is_a_sentence(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config\.json"):
        (tmp_path / "empty").mkdir()
        simulated(make_recipe(f"model.name_or_path={tmp_path / 'empty'}"))
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "config.json").write_text('{"model_type": "abacus"}')
    with pytest.raises(InputError, match="abacus"):
        simulated(make_recipe(f"model.name_or_path={tmp_path / 'strange'}"))
    assert list((tmp_path / "cache").rglob("*.json")) == [], "errors are not kept"


@pytest.mark.parametrize(
    "request_text", ["", "[]", "{}", '{"recipe": {"model": 7}}', '{"recipe": {}, "step": 3}']
)
def test_nonsense_is_answered_with_an_error(request_text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from io import StringIO

    from sftui.training.simulation import __main__ as program

    monkeypatch.setattr(sys, "stdin", StringIO(request_text))
    with pytest.raises((InputError, ValueError)):
        program._answer(json.load(sys.stdin))


def test_one_document_is_on_stdout_whatever_libraries_print() -> None:
    answer = ask('{"recipe": {"model": {"name_or_path": "/nowhere"}, "data": {"train": ["rows.jsonl"]}}}')
    assert list(answer) == ["error"]
    assert "/nowhere" in answer["error"]
    assert "JSON" in ask("nonsense")["error"]


def test_an_answer_that_a_full_disk_does_not_take_leaves_nothing(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = client._entry(make_recipe(), {})

    def full(self: Path, *_: Any, **__: Any) -> None:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    client._keep(entry, {"peak_bytes": 1})
    assert entry.parent.is_dir() and list(entry.parent.iterdir()) == []


def test_code_that_a_model_brings_is_part_of_the_question(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "config.json").write_text('{"model_type": "abacus"}')
    name = f"model.name_or_path={tmp_path / 'own'}"
    plain, own = make_recipe(name), make_recipe(name, "model.trust_remote_code=true")
    before = client._entry(plain, {}), client._entry(own, {})
    (tmp_path / "own" / "modeling.py").write_text("x = 1")
    assert client._entry(plain, {}) == before[0]
    assert client._entry(own, {}) != before[1]


def test_a_killed_process_is_said_to_be_killed(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_ask", lambda *_: (b"", -9))
    with pytest.raises(InputError, match=r"killed \(signal 9\)") as caught:
        simulated(make_recipe())
    assert "out of memory" in str(caught.value)
