"""What a run of a recipe comes to on this machine: steps, tokens, time, memory, disk, and what is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sftui.checks.data import data_findings, looking
from sftui.checks.finding import Finding, gravest_first
from sftui.checks.rows import first_row_findings
from sftui.data.overview import Overview
from sftui.data.packing.plan import Batching, Plan
from sftui.devices import Machine, device_for
from sftui.forecast_time import Basis, Epoch, Time, time_of
from sftui.memory.answer import Answer
from sftui.memory.checkpoint_size import DiskUse, disk_needed
from sftui.recipe import Recipe, TrainingSection
from sftui.recipe_checks import check
from sftui.runs.rates import Rate

# Findings that another one says better.
_SAID_BY = {
    "model-not-here": frozenset({"model-not-read"}),
    "model-not-read": frozenset({"model-missing"}),
    "data-not-read": frozenset({"data-missing", "format-not-recognised"}),
}


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run will do in all, as far as that is known; None where it is not.

    `sequences`, `tokens` and `trained_tokens` are what it sees in all its epochs, `trained_share` the part of
    the tokens that is trained; with packing wrapped as many are untrained after cuts as is to be expected.
    `exact`: all of the data is known and counted. `seconds`, at best and at worst, are those of training and
    evaluation, without loading and saving; `basis` says what they follow from, or `no_time` why there are
    none. `memory` is the estimate of a step, `disk` what the run writes. `findings` are those in the recipe
    and in its rows, errors what a run does not start with; until all rows are looked at, `looking` is how
    many are, and of how many.
    """

    steps: int | None
    sequences: int | None
    tokens: int | None
    trained_tokens: int | None
    trained_share: float | None
    exact: bool
    seconds: tuple[float, float] | None
    basis: Basis | None
    no_time: str | None
    memory: Answer | None
    disk: DiskUse | None
    findings: tuple[Finding, ...]
    looking: tuple[int, int] | None


def forecast(
    recipe: Recipe,
    machine: Machine,
    *,
    overview: Overview | None = None,
    plan: Plan | None = None,
    held_out: Overview | None = None,
    answer: Answer | None = None,
    rates: Sequence[Rate] = (),
) -> Forecast:
    """The forecast of what is known; some ms, nothing is read but what checks look at.

    `overview` and `plan` are of the training rows under this recipe, `held_out` the overview of `data.eval`;
    a plan of another max_length is left aside. `rates` is what `rates_in` found.
    """
    epoch = _epoch(recipe, overview, plan)
    steps = steps_of(recipe.training, None if epoch is None else epoch.rows)
    epochs = None if epoch is None or steps is None else _epochs(recipe.training, epoch.rows, steps)
    share = None if overview is None else _share(overview)
    sequences = tokens = trained = None
    if epoch is None:
        said: Time = Time(no_time="the data is not known yet")
    elif steps is None or epochs is None:
        said = Time(no_time="no sequence is left to train on")
    else:
        sequences, tokens = round(epochs * epoch.sequences), round(epochs * epoch.tokens)
        if share is not None:
            # A cut leaves the token after it untrained; as many of them would have been as of all.
            trained = round(epochs * share * max(0, epoch.tokens - epoch.cut))
        passes = evaluations(recipe, steps) * _held_out_tokens(recipe, epoch, overview, held_out)
        # A GPU that was named wins over this machine's.
        device = device_for(recipe, machine) if answer is None else answer.device
        shape = None if answer is None else answer.shape
        said = time_of(recipe, device, shape, epoch, epochs, passes, rates)
    model = None if answer is None else answer.shape or answer.estimate.parameters
    return Forecast(
        steps=steps,
        sequences=sequences,
        tokens=tokens,
        trained_tokens=trained,
        trained_share=trained / tokens if trained is not None and tokens else share,
        exact=epoch is not None and epoch.exact,
        seconds=said.seconds,
        basis=said.basis,
        no_time=said.no_time,
        memory=answer,
        disk=None if model is None else disk_needed(recipe, model),
        findings=_findings(recipe, overview, held_out, check(recipe, machine, answer=answer, steps=steps)),
        looking=looking(overview, held_out),
    )


def _findings(
    recipe: Recipe, overview: Overview | None, held_out: Overview | None, found: Sequence[Finding]
) -> tuple[Finding, ...]:
    """Those of the recipe and of its rows: until these are analysed, of the first of each file."""
    if overview is None or not overview.analysed:
        found = (*found, *first_row_findings(recipe))
    if overview is not None:
        found = (*found, *data_findings(recipe, overview, held_out))
    codes = {one.code for one in found}
    return gravest_first(one for one in found if not codes & _SAID_BY.get(one.code, frozenset()))


def steps_of(training: TrainingSection, rows: int | None) -> int | None:
    """Optimizer steps of a run on `rows` sequences, or bins; None without any, or where it depends on them.

    As `transformers.Trainer` counts: the last batch of an epoch is trained though it is smaller, and so is
    its last step.
    """
    if rows == 0:
        return None
    if training.max_steps > 0:
        return training.max_steps
    if rows is None:
        return None
    each = -(-rows // Batching.of(training).step_batches)
    return math.ceil(training.num_train_epochs * each)


def evaluations(recipe: Recipe, steps: int) -> int:
    """How often a run of so many steps evaluates its held-out rows."""
    data, training = recipe.data, recipe.training
    if not data.eval and not data.eval_fraction:
        return 0
    at_start = int(training.eval_on_start)
    if training.eval_strategy == "no":
        return at_start
    if training.eval_strategy == "epoch":
        return at_start + math.ceil(training.num_train_epochs)
    every = training.eval_steps
    # The last step is evaluated in any case.
    return at_start + math.ceil(steps / (math.ceil(every * steps) if every < 1 else every))


def _epochs(training: TrainingSection, rows: int, steps: int) -> float:
    """How often the rows are seen in so many steps; the last of an epoch may be a smaller one."""
    step_rows = Batching.of(training).step_batches
    whole, more = divmod(steps, -(-rows // step_rows))
    return whole + min(1.0, more * step_rows / rows)


def _epoch(recipe: Recipe, overview: Overview | None, plan: Plan | None) -> Epoch | None:
    """The rows of an epoch: from the plan if there is one, else as many as are counted."""
    data = recipe.data
    if plan is not None and plan.max_length == data.max_length:
        made = plan.of(data.packing)
        if not made.bins and not plan.exact:
            return None  # those that come may well have something
        batch = Batching.of(recipe.training)
        padded = made.padded_tokens if batch.batch_size == plan.batch_size else None
        return Epoch(
            rows=made.bins,
            sequences=plan.sequences,
            tokens=plan.tokens,
            padded_tokens=padded,
            cut=made.lost_tokens if data.packing == "wrapped" else 0,
            exact=plan.exact and (data.packing != "next_fit" or made.exact),
        )
    if overview is None or data.packing != "none":
        return None
    used = overview.used
    if used is not None:
        return Epoch(used.sequences, used.sequences, used.tokens, exact=True)
    if not overview.analysed or not overview.rows:
        return None
    scale = overview.rows / overview.analysed * (1 - data.eval_fraction)
    sequences = round(scale * overview.sequences)
    if not sequences:
        return None
    return Epoch(sequences, sequences, round(scale * overview.tokens), exact=False)


def _share(overview: Overview) -> float | None:
    """The part of the tokens that is trained, as far as it is known."""
    known = overview.used or overview
    return known.trained_tokens / known.tokens if known.tokens else None


def _held_out_tokens(
    recipe: Recipe, epoch: Epoch, overview: Overview | None, held_out: Overview | None
) -> float:
    """Tokens of the held-out rows; 0 where nothing is known of them."""
    fraction = recipe.data.eval_fraction
    if fraction:
        if overview is not None and overview.held_out is not None:
            return overview.held_out.tokens
        return epoch.tokens * fraction / (1 - fraction)
    if held_out is None:
        return 0
    if held_out.used is not None:
        return held_out.used.tokens
    return held_out.tokens * held_out.rows / held_out.analysed if held_out.analysed else 0
