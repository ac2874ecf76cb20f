"""A recipe made from a dataset: always one, one that fits, and one that says why."""

from __future__ import annotations

import dataclasses
import json
import shlex
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftui.errors import InputError
from sftui.known_models import known_model
from sftui.memory.answer import answer
from sftui.memory.device import Device
from sftui.memory.gpus import GPUS, device_of
from sftui.memory.shape import ModelShape
from sftui.proposal import Proposal, propose
from sftui.proposal.lengths import Lengths
from sftui.proposal.models import named_model
from sftui.proposal.rows import RowFacts
from sftui.proposal.settle import Asked, Method, settle
from sftui.recipe import Recipe, Source
from sftui.recipe_file import load_recipe, parse_recipe
from sftui.runs.rates import Rate
from tests.data_fixtures import QWEN3, model_directory

CONFIG = {
    "model_type": "llama",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}
QUESTIONS = [{"question": f"what is {n}?", "answer": "a number " * (1 + n % 9)} for n in range(120)]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, an empty Hub cache, and a model of one's own in `model`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    model_directory(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path


def write(rows: list[Any], name: str = "train.jsonl") -> str:
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    Path(name).write_text("".join(f"{line}\n" for line in lines))
    return name


def proposed(rows: list[Any], gpu: str | None = "4090", **options: Any) -> Proposal:
    device = None if gpu is None else device_of(gpu)
    made = propose(write(rows), device=device, **({"model": "model"} | options))
    assert parse_recipe(made.text, base=Path.cwd()) == made.recipe, "the text is the recipe"
    return made


@pytest.mark.parametrize("gpu", ["8GB", "T4", "4090", "L40S", "H100", "B200"])
def test_without_a_model_the_largest_that_fits_is_taken_with_room_for_all_rows(gpu: str) -> None:
    made = proposed(QUESTIONS, gpu, model=None)
    recipe, device = made.recipe, device_of(gpu)
    model = known_model(recipe.model.name_or_path)
    assert model is not None and model.offered and made.fits
    assert answer(recipe, model.shape, device).verdict == "fits"
    said = " ".join(made.notes)
    assert "--model names another" in said and device.name in said
    assert "--model" not in " ".join(proposed(QUESTIONS, gpu).notes), "it was named"


def test_larger_devices_are_given_larger_models() -> None:
    sizes = []
    for gpu in ("3GB", "8GB", "16GB", "48GB"):
        model = known_model(proposed(QUESTIONS, gpu, model=None).recipe.model.name_or_path)
        assert model is not None
        sizes.append(len(model.shape.layers) * model.shape.hidden**2)
    assert sizes == sorted(sizes) and len(set(sizes)) > 3


def test_a_model_that_takes_days_is_not_chosen_for_somebody() -> None:
    long = [{"question": "q" * 3000, "answer": "a" * 9000}] * 30_000
    slow = proposed(long, "3060", model=None).recipe.model.name_or_path
    quick = proposed(long[:300], "3060", model=None).recipe.model.name_or_path
    few, many = known_model(quick), known_model(slow)
    assert few is not None and many is not None
    assert many.shape.hidden < few.shape.hidden


def test_lora_is_taken_where_it_fits_and_qlora_where_it_does_not() -> None:
    small = proposed(QUESTIONS, "4090", model="Qwen/Qwen3-0.6B").recipe
    large = proposed(QUESTIONS, "4090", model="Qwen/Qwen3-14B").recipe
    assert (small.model.quantization, large.model.quantization) == ("none", "nf4")
    assert large.training.learning_rate < small.training.learning_rate


def test_full_fine_tuning_has_no_adapter_and_a_small_rate() -> None:
    for made in (
        proposed(QUESTIONS, "H100", method="full", model="Qwen/Qwen3-1.7B"),
        proposed(QUESTIONS, "H100", overrides=["adapter=null"], model="Qwen/Qwen3-1.7B"),
    ):
        assert made.recipe.adapter is None and made.recipe.model.quantization == "none"
        assert made.recipe.training.learning_rate == 2e-5


def test_what_does_not_fit_is_said_and_proposed_all_the_same() -> None:
    made = proposed(QUESTIONS, "4GB", model="Qwen/Qwen3-32B")
    assert not made.fits and "does not fit" in made.text


def test_without_a_gpu_the_recipe_is_for_the_cpu_and_says_so() -> None:
    made = proposed(QUESTIONS * 20, None, model=None)
    assert made.recipe.model.dtype == "float32" and made.recipe.data.packing == "none"
    assert made.recipe.model.quantization == "none" and made.recipe.training.max_steps > 0
    assert "no GPU" in made.text


def test_on_a_cpu_the_time_is_that_of_earlier_runs_or_said_to_be_unknown() -> None:
    first = proposed(QUESTIONS, None)
    assert "how long is not known" in " ".join(first.notes)
    tokens = sum(len(row["answer"]) for row in QUESTIONS) / len(QUESTIONS)
    rate = Rate("r", first.recipe, "CPU", tokens_per_second=50.0, row_tokens=tokens)
    assert "measured on this device" in " ".join(proposed(QUESTIONS, None, rates=[rate]).notes)


def test_a_gpu_without_bfloat16_gets_float16() -> None:
    assert proposed(QUESTIONS, "T4").recipe.model.dtype == "float16"
    assert proposed(QUESTIONS, "4090").recipe.model.dtype == "bfloat16"


def test_lengths_are_the_tokenizers_where_it_is_at_hand_and_guessed_where_not() -> None:
    own, other = proposed(QUESTIONS), proposed(QUESTIONS, model="Qwen/Qwen3-4B-Instruct-2507")
    assert "by characters" in other.text and "by characters" not in own.text


def test_all_rows_fit_within_max_length_and_their_number_decides_epochs_and_held_out() -> None:
    few, many = proposed(QUESTIONS), proposed(QUESTIONS * 20)
    assert (few.recipe.training.num_train_epochs, many.recipe.training.num_train_epochs) == (3, 2)
    assert few.recipe.data.eval_fraction == 0.05
    assert round(len(QUESTIONS) * 20 * many.recipe.data.eval_fraction) == pytest.approx(120, rel=0.7)
    assert proposed(QUESTIONS[:9]).recipe.data.eval_fraction == 0


def test_rows_longer_than_the_model_reads_are_truncated_and_it_is_said() -> None:
    rows = [{"question": "q", "answer": "word and word " * 2000}] * 40
    made = proposed(rows)
    assert made.recipe.data.max_length == 2048 and made.recipe.data.overlength == "truncate"
    assert "the model reads no more" in made.text


def test_the_micro_batch_fits_where_all_its_rows_are_as_long_as_the_longest() -> None:
    lengths = Lengths({100: 95, 7000: 5}, 100, 44_500, tokenised=True, complete=True)
    given = {"data.max_length": 32_000, "data.packing": "none"}
    device = device_of("24GB")

    def made(lengths: Lengths) -> tuple[int, str, str | None]:
        facts = dataclasses.replace(FACTS, count=lengths.sequences)
        asked = Asked(FACTS.sources, facts, lengths, device, "qlora", given)
        settled = settle(asked, named_model("Qwen/Qwen3-4B-Instruct-2507"))
        assert settled.fits and settled.model.shape is not None
        training, draft = settled.recipe.training, settled.draft
        assert training.per_device_train_batch_size * training.gradient_accumulation_steps == 8
        larger = settled.recipe.model_copy(deep=True)
        larger.training.per_device_train_batch_size *= 2
        beyond = answer(larger, settled.model.shape, device, longest=lengths.longest).verdict
        return training.per_device_train_batch_size, draft.as_made, beyond

    rows, text, beyond = made(lengths)
    assert 1 < rows < 8 and beyond != "fits", "of the longest rows, twice as many do not"
    assert f"the longest rows, {rows * 7000:,} tokens" in text
    most, _, _ = made(Lengths({100: 100}, 100, 10_000, tokenised=True, complete=True))
    assert most == 8, "max_length alone makes no batch longer"
    least, _, _ = made(dataclasses.replace(lengths, complete=False))
    assert least < rows, "where not all rows were looked at, one may be as long as max_length"


def test_one_row_far_longer_than_all_others_does_not_decide() -> None:
    made = proposed([*QUESTIONS * 3, {"question": "q", "answer": "word and word " * 300}])
    assert made.recipe.data.max_length < 1500 and made.recipe.data.overlength == "drop"


def test_a_model_without_a_chat_template_is_given_one(here: Path) -> None:
    bare = model_directory(here / "bare", template=None)
    (bare / "config.json").write_text(json.dumps(CONFIG))
    assert proposed(QUESTIONS, model="bare").recipe.data.chat_template == "chatml"
    assert proposed(QUESTIONS).recipe.data.chat_template is None


def test_a_template_that_drops_earlier_reasoning_gets_a_sequence_for_each_turn(here: Path) -> None:
    thinking = model_directory(here / "thinking", template=QWEN3)
    (thinking / "config.json").write_text(json.dumps(CONFIG))
    turn = [
        {"role": "user", "content": "and now?"},
        {"role": "assistant", "content": "<think>\nwell\n</think>\n\nso"},
    ]
    rows = [{"messages": turn * 2}] * 50
    assert proposed(rows, model="thinking").recipe.data.sequence_per == "turn"
    assert proposed([{"messages": turn}] * 50, model="thinking").recipe.data.sequence_per == "conversation"


# Rows


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ({"query": "q", "response": "r"}, {"prompt": "query", "completion": "response"}),
        ({"Input": "q", "Output": "r", "id": "7"}, {"prompt": "Input", "completion": "Output"}),
        ({"dialogue": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
         {"messages": "dialogue"}),
        ({"turns": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
         {"conversations": "turns"}),
        ({"content": "a story", "url": "x"}, {"text": "content"}),
        ({"question": "q", "answer": "a"}, {}),
    ],
)  # fmt: skip
def test_columns_under_other_names_are_taken_for_ours_and_it_is_said(
    row: dict[str, Any], columns: dict[str, str]
) -> None:
    made = proposed([row] * 40)
    assert made.recipe.data.train[0].columns == columns
    assert ("Columns:" in made.text) == bool(columns)


def test_columns_that_somebody_names_are_taken_as_they_are() -> None:
    rows = [{"a": "q", "b": "r"}] * 40
    overrides = ["data.train.0.columns.prompt=a", "data.train.0.columns.completion=b"]
    assert proposed(rows, overrides=overrides).recipe.data.train[0].columns == {
        "prompt": "a",
        "completion": "b",
    }


@pytest.mark.parametrize(
    "row",
    [
        {"frage": "q", "antwort": "a longer one"},
        {"my question: long": "q", "it's {here}": "a longer one", "n": 3},
        {"utterance": "only one"},
        {name: [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}] for name in ("ein s", "b")},
    ],
)
def test_where_no_format_is_recognised_the_message_has_a_command_that_works(
    row: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    from sftui.cli import main

    write([row] * 9, "my rows.jsonl")
    options = ["--model", "Qwen/Qwen3-0.6B", "--gpu", "4090"]  # known without its tokenizer
    assert main(["new", "my rows.jsonl", *options]) == 2
    said = capfd.readouterr().err
    assert "format not recognised" in said
    words = shlex.split(said[said.index("sftui new") :])
    assert main([*words[1:], *options]) == 0, capfd.readouterr().err


def test_columns_that_hold_nothing_to_train_on_are_told() -> None:
    with pytest.raises(InputError, match=r"format not recognised(.|\n)*none of its columns holds texts"):
        proposed([{"a": {"b": 1}, "n": 2}] * 3)


def test_a_few_unreadable_rows_are_left_out_and_it_is_said() -> None:
    made = proposed([*QUESTIONS, '{"question": 7}'])
    assert made.recipe.data.bad_rows == "drop" and "train.jsonl:121" in made.text


@pytest.mark.parametrize("rows", [[{"a": 1}] * 5, ["{"] * 5, []])
def test_data_without_a_usable_row_is_the_error_that_check_has(rows: list[Any], capfd: Any) -> None:
    from sftui.cli import main

    write(rows)
    with pytest.raises(InputError) as error:
        propose("train.jsonl", model="model", device=device_of("4090"))
    assert "train.jsonl" in str(error.value)
    assert main(["new", "train.jsonl", "--model", "model", "--gpu", "4090"]) == 2
    assert "Traceback" not in capfd.readouterr().err


def test_rows_that_no_template_takes_are_an_error(here: Path) -> None:
    refusing = model_directory(here / "refusing", template="{{ raise_exception('never') }}")
    (refusing / "config.json").write_text(json.dumps(CONFIG))
    with pytest.raises(InputError, match="no row becomes a sequence"):
        proposed(QUESTIONS, model="refusing")


# What somebody asks for


def test_overrides_decide_and_are_marked() -> None:
    overrides = ["data.max_length=512", "training.learning_rate=3e-5", "adapter.r=64", "training.seed=7"]
    made = proposed(QUESTIONS, overrides=overrides)
    recipe = made.recipe
    assert (recipe.data.max_length, recipe.training.learning_rate) == (512, 3e-5)
    assert recipe.adapter is not None and (recipe.adapter.r, recipe.training.seed) == (64, 7)
    assert made.text.count("# as given") == 4


@pytest.mark.parametrize("override", ["data.max_length=abc", "data.nothing=1", "nothing", "model.dtype=int3"])
def test_an_override_that_no_recipe_can_have_is_an_error(override: str) -> None:
    with pytest.raises(InputError):
        proposed(QUESTIONS, overrides=[override])


def test_a_model_that_is_nowhere_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="owner/nothing"):
        proposed(QUESTIONS, model="owner/nothing")


def test_paths_are_relative_to_the_recipes_folder_and_only_below_it(here: Path) -> None:
    device = device_of("4090")
    Path("data").mkdir()
    write(QUESTIONS, "data/my rows.jsonl")
    made = propose("data/my rows.jsonl", model="model", device=device)
    assert 'train: "data/my rows.jsonl"' in made.text
    Path("recipes").mkdir()
    other = propose("data/my rows.jsonl", model="model", device=device, folder=here / "recipes")
    file = here / "recipes" / "mine.yaml"
    file.write_text(other.text)
    assert load_recipe(file).data.train[0].path == str(here / "data" / "my rows.jsonl")


def test_a_model_whole_in_the_hub_cache_is_taken_rather_than_one_to_download(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(here / "hub"))
    folder = here / "hub" / "models--owner--small"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    shutil.copytree(here / "model", folder / "snapshots" / "abc")
    assert proposed(QUESTIONS, None, model=None).recipe.model.name_or_path != "owner/small", "no weights yet"
    (folder / "snapshots" / "abc" / "model.safetensors").touch()
    made = proposed(QUESTIONS, None, model=None)
    assert made.recipe.model.name_or_path == "owner/small" and "Hub cache" in made.text
    large = proposed(QUESTIONS, "H100", model=None)
    assert large.recipe.model.name_or_path != "owner/small", "a tiny model does not do for a large GPU"


def test_the_config_of_a_well_known_model_in_the_cache_wins_over_what_is_known_of_it(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "meta-llama/Llama-3.1-8B-Instruct"
    known = named_model(name)
    assert known.shape is not None and known.shape.from_table and known.gated
    folder = here / "hub" / f"models--{name.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    shutil.copytree(here / "model", folder / "snapshots" / "abc")
    found = named_model(name)
    assert found.shape is not None and (found.shape.hidden, found.shape.from_table) == (576, False)
    assert found.at_hand and not found.gated, "its licence has been accepted"


# Always


FACTS = RowFacts(
    (Source(path="t.jsonl"),), 1, True, 1, 0, None, ("messages",), (1,), False, False, False, False, {}
)


@settings(max_examples=60, deadline=None)
@given(
    counts=st.dictionaries(st.integers(2, 200_000), st.integers(1, 50), min_size=1, max_size=6),
    rows=st.integers(1, 2_000_000),
    complete=st.booleans(),
    name=st.sampled_from(["Qwen/Qwen3-0.6B", "Qwen/Qwen3-8B", "google/gemma-3-1b-it"]),
    device=st.none()
    | st.sampled_from([device_of(gpu.short) for gpu in GPUS])
    | st.just(Device("a", 3 * 2**30)),
    method=st.sampled_from(["auto", "qlora", "lora", "full"]),
)
def test_every_proposal_is_a_recipe_whose_text_says_the_same_and_that_fits_where_it_says_so(
    counts: dict[int, int], rows: int, complete: bool, name: str, device: Device | None, method: Method
) -> None:
    mean = sum(length * count for length, count in counts.items()) / Counter(counts).total()
    lengths = Lengths(counts, rows, round(rows * mean), tokenised=True, complete=complete)
    facts = RowFacts(**{field: getattr(FACTS, field) for field in FACTS.__slots__} | {"count": rows})
    made = settle(Asked(facts.sources, facts, lengths, device, method, {}), named_model(name))
    recipe = made.recipe
    assert parse_recipe(made.draft.text(["head"], Path("/somewhere"))) == recipe
    assert isinstance(recipe, Recipe) and isinstance(made.model.shape, ModelShape)
    assert recipe.data.max_length <= (made.model.context or 0)
    assert made.steps >= 1 and bool(made.time.seconds) != bool(made.time.no_time)
    if device is not None:
        again = answer(recipe, made.model.shape, device, longest=lengths.longest)
        assert made.fits == (again.verdict == "fits")
        fully = answer(recipe, made.model.shape, device, longest=lengths.at(100))
        assert fully.band.high <= again.band.high
