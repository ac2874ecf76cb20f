"""The leak test from the Packing screen: a process of its own."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from sftui import packing_support
from sftui.data import model_files
from sftui.screens import leak_check
from sftui.screens.packing import PackingScreen
from sftui.screens.widgets.leak_panel import LeakPanel

from .data_screen_fixtures import Open
from .packing_screen_fixtures import PACKED, at_bins, packing
from .workbench_fixtures import screen_text, until

PASSED = {
    "passed": True,
    "attention": "sdpa",
    "sequences": 2,
    "tokens": 128,
    "largest_difference": 0.0,
    "tolerance": 1e-4,
    "seconds": 0.1,
    "error": None,
}


def answers(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(leak_check, "COMMAND", [sys.executable, "-c", program])


async def test_k_runs_it_on_the_recipe_as_it_is_now_and_shows_the_result(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = tmp_path / "seen.json"
    answers(
        monkeypatch,
        f"import sys; open({str(seen)!r}, 'w').write(sys.stdin.read()); print({json.dumps(PASSED)!r})",
    )
    opened = Open(folder, PACKED)
    async with opened.run_test() as pilot:
        await packing(opened, pilot)
        opened.app.change({"data.max_length": 333})
        await pilot.press("k")
        shown = await until(pilot, "✓ passed: nothing leaks")
        assert "sdpa  2 sequences  128 tokens" in shown
    recipe = json.loads(seen.read_text())
    assert recipe["data"]["max_length"] == 333 and recipe["model"]["name_or_path"] == "owner/tiny-model"


async def test_its_time_is_shown_keys_go_on_and_k_ends_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    answers(
        monkeypatch,
        f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)",
    )
    monkeypatch.setattr(leak_check, "TICK_SECONDS", 0.05)
    opened = Open(folder, PACKED)
    async with opened.run_test() as pilot:
        await at_bins(opened, pilot)
        await pilot.press("k")
        await until(pilot, "● running")
        while not pid.exists() or not pid.read_text():
            await pilot.pause(0.02)
        await pilot.press("down")
        assert "▌    1 ▐" in screen_text(opened.app)
        await pilot.press("k")
        await until(pilot, "not run yet")
        await gone(int(pid.read_text()))


async def gone(pid: int) -> None:
    import asyncio

    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"process {pid} goes on")


async def test_leaving_the_app_ends_it(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    answers(
        monkeypatch,
        f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)",
    )
    opened = Open(folder, PACKED)
    async with opened.run_test() as pilot:
        await packing(opened, pilot)
        await pilot.press("k")
        while not pid.exists() or not pid.read_text():
            await pilot.pause(0.02)
    await gone(int(pid.read_text()))


async def test_the_result_is_dropped_when_what_it_holds_for_is_another_and_kept_otherwise(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, f"print({json.dumps(PASSED)!r})")
    opened = Open(folder, PACKED)
    async with opened.run_test() as pilot:
        await packing(opened, pilot)
        for key, value in (
            ("data.packing", "next_fit"),
            ("data.max_length", 333),
            ("data.train_on", "everything"),
            ("adapter.r", 8),
            ("model.dtype", "float16"),
            ("training.per_device_train_batch_size", 2),
        ):
            await pilot.press("k")
            await until(pilot, "✓ passed")
            opened.app.change({"training.learning_rate": 1e-5, "training.num_train_epochs": len(key)})
            await pilot.pause(0.2)
            assert "✓ passed" in screen_text(opened.app)
            opened.app.change({key: value})
            await until(pilot, "not run yet")


FAILED = {
    **PASSED,
    "passed": False,
    "largest_difference": 12.5,
    "reason": "with sdpa attention, sequences of a bin see each other: other tokens in one move the logits "
    "of another by 12.5 (its own move them by 13.1)",
}


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (100, 34)], ids=str)
async def test_why_it_did_not_pass_can_be_read_at_every_size(
    folder: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    answers(monkeypatch, f"print({json.dumps(FAILED)!r})")
    opened = Open(folder, PACKED)
    async with opened.run_test(size=size) as pilot:
        await packing(opened, pilot)
        await pilot.press("k")
        shown = await until(pilot, "✗ failed: with sdpa")
        words = " ".join(shown.replace("│", " ").split())
        assert FAILED["reason"] in words and "neighbours leak" not in words
        await pilot.click("#leak")
        await until(pilot, "largest")


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import sys; sys.exit('no room for the model')", "no room for the model"),
        ("print('not JSON')", "it printed no result"),
        ('print(\'{"passed": false, "error": "no such model"}\')', "no result: no such model"),
        ("import os; os.kill(os.getpid(), 9)", "exit code -9"),
    ],
)
async def test_a_test_that_fails_says_why(
    folder: Path, monkeypatch: pytest.MonkeyPatch, program: str, words: str
) -> None:
    answers(monkeypatch, program)
    opened = Open(folder, PACKED)
    async with opened.run_test() as pilot:
        await packing(opened, pilot)
        await pilot.press("k")
        await until(pilot, words)


async def test_a_model_that_cannot_be_packed_is_named_before_anything_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "mamba"}')
    monkeypatch.setattr(model_files, "model_directory", lambda name, revision=None: tmp_path)
    monkeypatch.setattr(packing_support, "refusal", lambda config: f"{config['model_type']} has a state")
    opened = Open(folder, PACKED)
    async with opened.run_test() as pilot:
        await packing(opened, pilot)
        assert isinstance(opened.app.screen, PackingScreen)
        await until(pilot, "this model cannot be packed: mamba has a state")


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (100, 30)], ids=str)
async def test_k_on_a_model_that_cannot_be_packed_runs_nothing_and_says_why(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: tuple[int, int]
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "mamba"}')
    monkeypatch.setattr(model_files, "model_directory", lambda name, revision=None: tmp_path)
    answers(monkeypatch, f"open({str(tmp_path / 'ran')!r}, 'w')")
    opened = Open(folder, PACKED)
    why = (
        "this model cannot be packed: mamba has recurrent layers, whose state runs on from one sequence "
        "into the next"
    )
    async with opened.run_test(size=size) as pilot:
        await packing(opened, pilot)
        shown = await until(pilot, "✗ this model")
        assert why in " ".join(shown.replace("│", " ").split())
        told: list[str] = []
        monkeypatch.setattr(LeakPanel, "notify", lambda self, text, **options: told.append(text))
        await pilot.press("k")
        await pilot.pause(0.3)
        assert len(told) == 1 and why in told[0] and not (tmp_path / "ran").exists()


async def test_without_packing_there_is_nothing_to_test(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, f"print({json.dumps(PASSED)!r})")
    opened = Open(folder, PACKED.replace("best_fit", "none"))
    async with opened.run_test() as pilot:
        await packing(opened, pilot)
        await pilot.press("k")
        await pilot.pause(0.3)
        assert "nothing can leak: sequences are not packed" in screen_text(opened.app)
        opened.app.change({"data.packing": "best_fit"})
        await until(pilot, "not run yet")
