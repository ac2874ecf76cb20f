"""Steps, tokens and time of a recipe, from what is known of its data and its device."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftui.data.overview import Overview, State
from sftui.data.packing.plan import STRATEGIES, Plan
from sftui.data.packing.summary import summarise
from sftui.data.views import Finding as RowsFinding
from sftui.data.views import Severity, Used
from sftui.forecast import Forecast, evaluations, forecast, steps_of
from sftui.memory.answer import answer
from sftui.memory.config_file import shape_of
from sftui.memory.shape import ModelShape
from sftui.recipe import Recipe, TrainingSection
from sftui.recipe_fields import FIELDS
from sftui.recipe_file import parse_recipe
from sftui.runs.rates import Rate
from tests.check_fixtures import LLAMA_8B, gpu, machine

LENGTHS = [100, 300, 500, 700] * 250
USED = Used(1000, 1000, sum(LENGTHS), sum(LENGTHS) // 4)


def recipe_of(*overrides: str) -> Recipe:
    text = "{model: {name_or_path: owner/llama}, data: {train: owner/rows}}"
    return parse_recipe(text, overrides, base=Path("/tmp"))


@pytest.fixture(scope="module")
def shape() -> ModelShape:
    found = shape_of(LLAMA_8B)
    assert isinstance(found, ModelShape)
    return found


def plan_of(
    recipe: Recipe,
    max_length: int | None = None,
    lengths: Sequence[int] = LENGTHS,
    *,
    exact: bool = True,
) -> Plan:
    length, batch = max_length or recipe.data.max_length, recipe.training.per_device_train_batch_size
    return Plan(
        max_length=length,
        exact=exact,
        share=1.0,
        sequences=len(lengths),
        tokens=sum(lengths),
        dropped=0,
        truncated=0,
        untrained=0,
        lost_tokens=0,
        longest=max(lengths, default=0),
        batch_size=batch,
        step_batches=batch * recipe.training.gradient_accumulation_steps,
        summaries=tuple(summarise(lengths, strategy, length, batch) for strategy in STRATEGIES),
    )


def of(recipe: Recipe, *gpus: str, shape: ModelShape | None = None, **known: object) -> Forecast:
    here = machine(*map(gpu, gpus), folder=Path("/tmp"))
    device = here.devices[0] if gpus else None
    found = None if shape is None else answer(recipe, shape, device)
    return forecast(recipe, here, answer=found, **known)  # type: ignore[arg-type]


# Steps and tokens


@given(
    rows=st.integers(1, 500),
    batch=st.integers(1, 9),
    accumulation=st.integers(1, 9),
    processes=st.integers(1, 5),
    epochs=st.floats(0.05, 4),
)
def test_steps_are_counted_as_batches_are_dealt_out(
    rows: int, batch: int, accumulation: int, processes: int, epochs: float
) -> None:
    training = TrainingSection(
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=accumulation,
        num_processes=processes,
        num_train_epochs=epochs,
    )
    batches = len(range(0, rows, batch))
    dealt = len(range(0, batches, processes))
    each = max(dealt // accumulation + (dealt % accumulation > 0), 1)
    steps = steps_of(training, rows)
    assert steps is not None
    assert each * epochs <= steps < each * epochs + 1


def test_without_data_only_what_follows_from_the_recipe_is_forecast(shape: ModelShape) -> None:
    made = of(recipe_of(), "H100", shape=shape)
    assert (made.steps, made.tokens, made.trained_share, made.seconds) == (None,) * 4
    assert made.no_time == "the data is not known yet"
    assert made.memory is not None and made.disk is not None
    assert not made.exact
    assert of(recipe_of("training.max_steps=70")).steps == 70


def test_epochs_are_counted_together(shape: ModelShape) -> None:
    overview = Overview("train", "done", used=USED)
    made = of(recipe_of("training.num_train_epochs=2.5"), overview=overview)
    assert made.steps == 313  # 125 an epoch
    assert made.sequences == 2504
    assert made.tokens == round(2.504 * USED.tokens)
    assert made.trained_tokens == round(2.504 * USED.trained_tokens)
    assert made.trained_share == pytest.approx(0.25, abs=1e-6)
    assert made.exact


def test_rows_are_scaled_up_while_they_are_analysed() -> None:
    overview = Overview(
        "train",
        "analysing",
        rows=1000,
        analysed=100,
        sequences=200,
        tokens=50_000,
        trained_tokens=10_000,
        lengths=array("I"),
    )
    made = of(recipe_of("data.eval_fraction=0.5"), overview=overview)
    assert (made.steps, made.tokens, made.trained_share) == (125, 250_000, 0.2)
    assert not made.exact


def test_bins_are_what_steps_are_counted_in() -> None:
    recipe = recipe_of("data.packing=best_fit")
    overview = Overview("train", "done", used=USED)
    assert of(recipe, overview=overview).steps is None
    made = of(recipe, overview=overview, plan=plan_of(recipe))
    bins = summarise(LENGTHS, "best_fit", 2048).bins
    assert made.steps == -(-bins // 8)
    assert (made.sequences, made.tokens) == (1000, sum(LENGTHS))


def test_a_plan_of_another_length_is_left_aside() -> None:
    recipe = recipe_of("data.packing=best_fit")
    assert of(recipe, plan=plan_of(recipe, 1024)).steps is None


def test_where_nothing_is_left_there_is_no_run() -> None:
    made = of(recipe_of(), overview=Overview("train", "done", used=Used(0, 0, 0, 0)))
    assert made.steps is None
    assert made.no_time == "no sequence is left to train on"


@pytest.mark.parametrize("packing", ["none", "best_fit"])
def test_max_steps_on_no_sequence_are_no_run(shape: ModelShape, packing: str) -> None:
    recipe = recipe_of("training.max_steps=50", f"data.packing={packing}")
    overview = Overview("train", "done", used=Used(9, 0, 0, 0))
    made = of(recipe, "H100", shape=shape, overview=overview, plan=plan_of(recipe, lengths=()))
    assert (made.steps, made.tokens, made.seconds) == (None, None, None)
    assert made.no_time == "no sequence is left to train on"


def test_that_the_first_rows_have_nothing_does_not_mean_that_there_is_no_run() -> None:
    recipe = recipe_of("training.max_steps=50")
    overview = Overview("train", "analysing", rows=1000, analysed=10)
    plan = plan_of(recipe, lengths=(), exact=False)
    for made in (of(recipe, overview=overview), of(recipe, overview=overview, plan=plan)):
        assert (made.steps, made.no_time) == (50, "the data is not known yet")


# Findings


def rows_with(code: str, severity: Severity = "error") -> Overview:
    one = RowsFinding(code, severity, 3, (1, 2, 3), (), f"3 rows: {code}", "why", "what to do")
    return Overview("train", "done", rows=1000, analysed=1000, findings=(one,), used=USED)


@pytest.mark.parametrize(
    ("code", "override", "severity"),
    [
        ("unreadable-row", "data.bad_rows=error", "error"),
        ("unreadable-row", "data.bad_rows=drop", "warning"),
        ("role-order-refused", "data.bad_rows=error", "error"),
        ("overlength-refused", "data.overlength=error", "error"),
        ("no-trained-tokens", "data.bad_rows=error", "warning"),
    ],
)
def test_an_error_in_the_rows_is_one_where_a_run_is_refused_for_it(
    code: str, override: str, severity: str
) -> None:
    made = of(recipe_of(override), overview=rows_with(code))
    (one,) = (each for each in made.findings if each.code == code)
    assert (one.severity, one.message, one.hint) == (severity, f"3 rows: {code}", "what to do")
    assert one.key in {field.key for field in FIELDS} | {"data.train"}
    assert severity != "error" or made.findings[0].severity == "error"


def test_what_is_worth_knowing_of_rows_stays_that() -> None:
    made = of(recipe_of(), overview=rows_with("extreme-length", "info"))
    assert {one.code: one.severity for one in made.findings}["extreme-length"] == "info"


def test_a_side_of_which_nothing_is_left_is_an_error() -> None:
    nothing = Used(9, 0, 0, 0)
    sides: dict[str, dict[str, Any]] = {
        "data.train": {"overview": Overview("train", "done", used=nothing)},
        "data.eval_fraction": {"overview": Overview("train", "done", used=USED, held_out=nothing)},
        "data.eval": {
            "overview": Overview("train", "done", used=USED),
            "held_out": Overview("eval", "done", used=nothing),
        },
    }
    for key, known in sides.items():
        errors = [(one.code, one.key) for one in of(recipe_of(), **known).findings if one.severity == "error"]
        assert errors == [("nothing-left", key)] or errors[1:] == [("nothing-left", key)]


def test_how_many_rows_were_looked_at_is_known_until_all_were() -> None:
    assert of(recipe_of()).looking == (0, 0)
    states: dict[State, tuple[int, int]] = {"opening": (0, 50), "indexing": (0, 50), "analysing": (20, 50)}
    for state, expected in states.items():
        overview = Overview("train", state, rows=50, analysed=20)
        assert of(recipe_of(), overview=overview).looking == expected
    held_out = Overview("eval", "analysing", rows=10, analysed=1)
    overview = Overview("train", "analysing", rows=50, analysed=20)
    assert of(recipe_of(), overview=overview, held_out=held_out).looking == (21, 60)
    assert of(recipe_of(), overview=Overview("train", "done", used=USED)).looking is None


def test_data_that_cannot_be_read_is_told() -> None:
    made = of(recipe_of(), overview=Overview("train", "failed", problem="a.jsonl: is gone"))
    told = {one.code: (one.severity, one.message) for one in made.findings}
    assert told["data-not-read"] == ("warning", "a.jsonl: is gone")


def test_findings_know_the_steps_that_follow_from_the_data() -> None:
    recipe = recipe_of("training.warmup_steps=200")
    assert "warmup-too-long" not in {one.code for one in of(recipe).findings}
    overview = Overview("train", "done", used=USED)
    assert "warmup-too-long" in {one.code for one in of(recipe, overview=overview).findings}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), 0),
        (("data.eval_fraction=0.1",), 11),
        (("data.eval_fraction=0.1", "training.eval_on_start=false"), 10),
        (("data.eval_fraction=0.1", "training.eval_strategy='no'"), 1),
        (("data.eval_fraction=0.1", "training.eval_strategy=epoch", "training.num_train_epochs=3"), 4),
        (("data.eval=owner/rows", "training.eval_steps=30"), 5),
    ],
)
def test_evaluations_are_counted_with_the_first_and_the_last(
    overrides: tuple[str, ...], expected: int
) -> None:
    assert evaluations(recipe_of(*overrides), 100) == expected


# Time


def test_time_follows_from_the_flops_of_a_known_gpu(shape: ModelShape) -> None:
    recipe, overview = recipe_of(), Overview("train", "done", used=USED)
    slower = of(recipe, "4090", shape=shape, overview=overview)
    faster = of(recipe, "H100", shape=shape, overview=overview)
    assert faster.basis == slower.basis == "from the device's FLOP/s"
    assert faster.seconds is not None and slower.seconds is not None
    assert faster.seconds[0] < faster.seconds[1]
    assert faster.seconds[0] < slower.seconds[0] and faster.seconds[1] < slower.seconds[1]
    # Three passes of 2 FLOPs a weight and token, at a quarter to 65% of the peak, and some on top.
    least = 3 * 2 * 8e9 * USED.tokens / 989.4e12
    assert least / 0.65 < faster.seconds[0] < 2 * least / 0.65
    assert least / 0.25 < faster.seconds[1] < 3 * least / 0.25


def test_time_grows_with_epochs_and_with_evaluations(shape: ModelShape) -> None:
    def seconds(*overrides: str, used: Used = USED) -> float:
        made = of(
            recipe_of(*overrides),
            "H100",
            shape=shape,
            overview=Overview("train", "done", used=used, held_out=USED),
        )
        assert made.seconds is not None
        return made.seconds[0]

    one = seconds()
    assert seconds("training.num_train_epochs=3") == pytest.approx(3 * one)
    # Eleven evaluations of as many tokens, each a third of the work.
    assert seconds("data.eval_fraction=0.5") == pytest.approx((1 + 11 / 3) * one)


def test_padding_takes_time(shape: ModelShape) -> None:
    overview = Overview("train", "done", used=USED)
    recipe = recipe_of("training.per_device_train_batch_size=8", "training.gradient_accumulation_steps=1")
    padded = of(recipe, "H100", shape=shape, overview=overview, plan=plan_of(recipe)).seconds
    packed = changed_packing(recipe)
    without = of(packed, "H100", shape=shape, overview=overview, plan=plan_of(packed)).seconds
    assert padded is not None and without is not None
    assert padded[0] > 1.2 * without[0]


def changed_packing(recipe: Recipe) -> Recipe:
    data = recipe.data.model_copy(update={"packing": "best_fit"})
    training = recipe.training.model_copy(update={"per_device_train_batch_size": 2})
    return recipe.model_copy(update={"data": data, "training": training})


@pytest.mark.parametrize(
    ("gpus", "overrides", "knows_model", "why"),
    [
        ((), (), True, "no run of this model and method with 2 steps or more has ended on this CPU"),
        (
            ("H100",),
            ("model.dtype=float32",),
            True,
            "no run in float32 has been timed",
        ),
        (("24GB",), (), True, "the speed of a GPU of 24 GiB is not known, and no run has been timed on it"),
        (
            ("H100",),
            (),
            False,
            "the closed form does not know this model",
        ),
    ],
)
def test_where_there_is_no_time_it_is_said_why(
    shape: ModelShape, gpus: tuple[str, ...], overrides: tuple[str, ...], knows_model: bool, why: str
) -> None:
    overview = Overview("train", "done", used=USED)
    made = of(recipe_of(*overrides), *gpus, shape=shape if knows_model else None, overview=overview)
    assert (made.seconds, made.basis) == (None, None)
    assert made.no_time is not None and made.no_time.startswith(why)


def rate_of(recipe: Recipe, device: str = "CPU", row_tokens: float = 400.0) -> Rate:
    return Rate("one", recipe, device, 1000.0, row_tokens)


def test_a_measured_rate_wins(shape: ModelShape) -> None:
    recipe, overview = recipe_of(), Overview("train", "done", used=USED)
    name = gpu("H100").name
    made = of(recipe, "H100", shape=shape, overview=overview, rates=[rate_of(recipe, name)])
    assert made.basis == "measured on this device"
    assert made.seconds == pytest.approx((USED.tokens / 1100, USED.tokens / 1000 * 1.1))


def test_the_rate_of_a_short_run_has_a_wider_range_and_counts_where_there_is_no_other() -> None:
    recipe, overview = recipe_of(), Overview("train", "done", used=USED)
    short = replace(rate_of(recipe), tokens_per_second=500.0, steps=2)
    alone = of(recipe, overview=overview, rates=[short]).seconds
    assert alone is not None and alone[1] / alone[0] == pytest.approx((1.1 * 1.35) ** 2)
    beside = of(recipe, overview=overview, rates=[short, rate_of(recipe)]).seconds
    assert beside is not None and beside == of(recipe, overview=overview, rates=[rate_of(recipe)]).seconds


def test_a_rate_of_another_batch_or_rank_is_carried_over_with_a_wider_range(shape: ModelShape) -> None:
    overview = Overview("train", "done", used=USED)
    recipe = recipe_of("adapter.r=64")
    made = of(recipe, shape=shape, overview=overview, rates=[rate_of(recipe_of())])
    assert made.basis == "measured on this device"
    assert made.seconds is not None
    assert made.seconds[1] / made.seconds[0] == pytest.approx(1.35**2)
    # Without the model's shape nothing says what the difference makes.
    assert of(recipe, overview=overview, rates=[rate_of(recipe_of())]).seconds is None
    assert of(recipe_of(), overview=overview, rates=[rate_of(recipe_of())]).seconds is not None


@pytest.mark.parametrize(
    "override",
    [
        "model.quantization=none",
        "model.name_or_path=owner/other",
        "model.dtype=float32",
        "adapter.use_dora=true",
    ],
)
def test_a_rate_of_another_model_method_or_device_tells_nothing(shape: ModelShape, override: str) -> None:
    overview = Overview("train", "done", used=USED)
    recipe = recipe_of(override)
    made = of(recipe, shape=shape, overview=overview, plan=plan_of(recipe), rates=[rate_of(recipe_of())])
    assert made.tokens and made.seconds is None
    elsewhere = [rate_of(recipe_of(), "NVIDIA H200")]
    assert of(recipe_of(), shape=shape, overview=overview, rates=elsewhere).seconds is None
