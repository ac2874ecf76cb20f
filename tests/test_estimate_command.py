"""What `sftui estimate` prints, in which shape, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sftui.cli import main
from sftui.memory.measured import Measured, keep

LLAMA_8B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
}
FROZEN = {
    "weights",
    "adapter",
    "gradients",
    "optimizer",
    "activations",
    "logits",
    "dequantization",
    "context",
}
GIB = 2**30


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SFTUI_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SFTUI_CACHE", str(tmp_path / "cache"))
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    write_config(tmp_path / "model", LLAMA_8B)
    (tmp_path / "recipe.yaml").write_text("model: {name_or_path: model}\ndata: {train: train.jsonl}\n")
    return tmp_path


def write_config(folder: Path, values: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(values))


@pytest.fixture
def sftui(here: Path, capfd: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str) -> Result:
        try:
            code = main(["estimate", "recipe.yaml", *arguments])
        except SystemExit as error:
            code = int(error.code or 0)
        return Result(code, *capfd.readouterr())

    return run


def test_a_directory_with_config_json_alone_is_enough_and_json_has_its_frozen_shape(sftui: Any) -> None:
    done = sftui("--json", "--gpu", "4090")
    assert done.code == 0 and done.err == ""
    answer = json.loads(done.out)
    assert set(answer["components"]) >= FROZEN
    assert (
        answer["peak_bytes"] == sum(answer["components"].values()) == answer["moments"][answer["peak_moment"]]
    )
    low, high = answer["reserved_band"]
    assert answer["peak_bytes"] <= low <= answer["reserved_bytes"] <= high
    assert answer["peak_phase"] in {
        "load",
        "forward",
        "loss",
        "backward",
        "optimizer_step",
        "evaluation",
        "save",
    }
    assert answer["parameters"]["total"] == 8_030_261_248 + 41_943_040
    assert answer["parameters"]["trainable"] == 41_943_040
    assert answer["device"]["name"] == "NVIDIA GeForce RTX 4090"
    assert answer["fits"] is True and answer["verdict"] == "fits"


def test_without_a_gpu_nothing_is_said_to_fit(sftui: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sftui.devices.device_for", lambda recipe: None)
    answer = json.loads(sftui("--json").out)
    assert answer["device"] is None and answer["fits"] is None
    done = sftui()
    assert done.code == 0
    assert "--gpu" in done.out


def test_what_does_not_fit_ends_with_1_and_says_what_would(sftui: Any) -> None:
    done = sftui("adapter=null", "model.quantization=none", "--gpu", "24GB")
    assert done.code == 1
    assert "does not fit: a GPU of 24 GiB" in done.out
    assert "saves" in done.out
    fits = sftui("adapter=null", "model.quantization=none", "--gpu", "B200")
    assert fits.code == 0
    assert "largest micro-batch" in fits.out and "longest sequence" in fits.out


def test_an_override_changes_the_answer(sftui: Any) -> None:
    one, other = (
        json.loads(sftui("--json", f"data.max_length={length}").out)["peak_bytes"] for length in (2048, 8192)
    )
    assert other > one + GIB / 2


def test_the_cheapest_way_is_held_against_its_own_band(sftui: Any) -> None:
    done = sftui("training.loss=stock", "--gpu", "3060")
    _, _, listed = done.out.partition("the cheapest way to make it fit:\n")
    assert listed.splitlines() == ["  loss: chunked: saves 2.2 GiB, takes no longer"]


def test_what_nothing_makes_fit_is_told_with_what_all_come_to(sftui: Any) -> None:
    done = sftui("--gpu", "2GB")
    assert "all at once come to 5." in done.out
    saving = [line.split(":")[0] for line in done.out.splitlines() if ": saves " in line]
    assert saving and len(saving) == len(set(saving))


def test_it_says_that_rows_of_max_length_are_assumed(sftui: Any) -> None:
    answer = json.loads(sftui("--json", "data.max_length=1000").out)
    assert (answer["length"], answer["length_from"]) == (1000, "max_length")
    assert "1 row of 1,000 tokens (data.max_length" in sftui("data.max_length=1000").out


def test_what_the_device_refuses_is_noted(sftui: Any) -> None:
    assert "has no bfloat16" in sftui("--gpu", "2080").out
    assert any("has no bfloat16" in note for note in json.loads(sftui("--json", "--gpu", "T4").out)["notes"])


def test_a_micro_batch_that_fits_is_told_with_its_effective_batch(sftui: Any) -> None:
    out = sftui("--gpu", "H100", "training.gradient_accumulation_steps=4").out
    assert "largest micro-batch of 2,048 tokens: 4, the effective batch of 4 kept; " in out
    assert " with a larger one\n" in out


def test_json_has_what_fits_or_what_would_help_as_the_text_has(sftui: Any) -> None:
    fits = json.loads(sftui("--json", "--gpu", "24GB").out)
    assert fits["largest_batch"]["any"] >= fits["largest_batch"]["same_effective"] >= 1
    assert fits["longest_length"] >= 2048 and fits["remedies"] is None
    short = json.loads(sftui("--json", "--gpu", "6GB").out)
    assert short["largest_batch"] is None and short["longest_length"] is None
    peaks = [one["peak_bytes"] for one in short["remedies"]]
    assert peaks and min(peaks) < short["peak_bytes"] and short["remedies"][0]["values"]
    assert isinstance(short["remedies_suffice"], bool)


def test_what_the_trainer_refuses_is_not_said_to_fit(sftui: Any) -> None:
    mixed = ("model.dtype=float32", "adapter.dtype=bfloat16", "adapter.modules_to_save=[lm_head]")
    asked = (*mixed, "model.quantization=none", "--gpu", "80GB")
    out = sftui(*asked).out
    assert "would fit, but such a run is refused" in out and "adapter.dtype=float32" in out
    answer = json.loads(sftui(*asked, "--json").out)
    assert len(answer["refused"]) == 1 and answer["refused"][0] in answer["notes"]


def test_methods_are_compared(sftui: Any) -> None:
    answer = json.loads(sftui("--json", "--compare", "--gpu", "24GB").out)
    peaks = {name: one["peak_bytes"] for name, one in answer["methods"].items()}
    assert peaks["full"] > peaks["LoRA"] > peaks["QLoRA"] == answer["peak_bytes"]
    assert answer["methods"]["full"]["verdict"] == "no"
    lines = sftui("--compare", "--gpu", "24GB").out.splitlines()
    assert [line.split()[0] for line in lines if line.split()[:1] in (["full"], ["LoRA"], ["QLoRA"])] == [
        "full",
        "LoRA",
        "QLoRA",
    ]


def test_why_names_the_numbers_of_each_component(sftui: Any) -> None:
    answer = json.loads(sftui("--json", "--why").out)
    assert set(answer["why"]) == {name for name, size in answer["components"].items() if size}
    assert "41,943,040 parameters" in answer["why"]["gradients"]
    assert answer["why"]["weights"] in sftui("--why").out


def test_a_measured_run_of_the_same_step_is_shown_and_calibrates_the_band(sftui: Any) -> None:
    from dataclasses import asdict

    from sftui.memory.answer import config_digest, known_shape
    from sftui.memory.shape import ModelShape
    from sftui.memory.step import step_of
    from sftui.recipe_file import load_recipe

    recipe = load_recipe("recipe.yaml")
    shape = known_shape(recipe.model.name_or_path)
    assert isinstance(shape, ModelShape)
    before = json.loads(sftui("--json", "--gpu", "4090").out)
    peak = before["peak_bytes"]
    name = before["device"]["name"]
    keep(
        Measured(
            time=1.0,
            run="2026-11-20_0412-model",
            model="model",
            config=config_digest(recipe.model.name_or_path),
            device=name,
            versions={},
            step=asdict(step_of(recipe, shape)),
            predicted_bytes=peak,
            allocated_bytes=peak + 7,
            reserved_bytes=round(peak * 1.02),
            context_bytes=GIB // 4,
        )
    )
    after = json.loads(sftui("--json", "--gpu", "4090").out)
    assert [one["run"] for one in after["measured"]] == ["2026-11-20_0412-model"]
    assert after["measured"][0]["length"] == after["length"] == 2048
    assert after["band_runs"] == 1 and after["context_bytes"] == GIB // 4
    assert sum(after["components"].values()) == peak
    assert after["reserved_bytes"] == pytest.approx(peak * 1.02 + GIB / 4, rel=1e-6)
    text = sftui("--gpu", "4090").out
    assert "measured in 2026-11-20_0412-model" in text and "1 run measured on this device" in text
    assert not json.loads(sftui("--json", "--gpu", "3090").out)["measured"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--gpu", "4099"], "4099"),
        (["--gpu", "-3GB"], "--gpu"),
        (["model.name_or_path=./nowhere"], "nowhere"),
        (["model.name_or_path=./empty"], "config.json"),
        (["model.name_or_path=./torn"], "config.json"),
        (["model.name_or_path=./impossible"], "num_attention_heads"),
        (["data.max_length=1"], "max_length"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    sftui: Any, here: Path, arguments: list[str], said: str
) -> None:
    (here / "empty").mkdir()
    (here / "torn").mkdir()
    (here / "torn" / "config.json").write_text('{"model_type": "ll')
    write_config(here / "impossible", LLAMA_8B | {"num_attention_heads": 0})
    done = sftui(*arguments)
    assert done.code == 2 and done.out == ""
    assert said in done.err and "Traceback" not in done.err


@pytest.mark.slow
def test_an_unknown_architecture_is_simulated(sftui: Any, here: Path) -> None:
    small = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256}
    write_config(here / "model", {"model_type": "gpt_neox", "vocab_size": 1000, **small})
    done = sftui("--json", "model.quantization=none")
    assert done.code == 0 and "simulating" in done.err
    answer = json.loads(done.out)
    assert answer["source"] == "simulation" and answer["peak_bytes"] > 0
    explained = sftui("--json", "--why", "model.quantization=none")
    assert "does not know this model" in explained.err and json.loads(explained.out)["why"] == {}
    text = sftui("--why", "model.quantization=none").out
    assert "does not know this model" in text and "not explained" in text


def test_an_estimate_needs_no_torch(here: Path) -> None:
    program = (
        "import sys; from sftui.cli import main\n"
        "code = main(['estimate', 'recipe.yaml', '--json', '--gpu', '24GB'])\n"
        "heavy = ('torch', 'transformers', 'numpy', 'textual')\n"
        "print(code, [name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "0 []"
