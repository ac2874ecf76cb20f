"""How long training takes: after runs of earlier on the same device, else from its data sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sftui.memory.device import Device
from sftui.memory.gpus import gpu_of
from sftui.memory.shape import ModelShape
from sftui.memory.step import StepSpec, step_of
from sftui.memory.work import seconds as seconds_of
from sftui.memory.work import typical_seconds, work
from sftui.recipe import Recipe
from sftui.runs.rates import ENOUGH, Rate

Basis = Literal["measured on this device", "from the device's FLOP/s"]

# Runs of the same step differ by as much; of another batch, length or rank, by what the model of their work
# does not know.
_SAME, _OTHER = 1.1, 1.35
_SHORT = 1.35  # more than that of runs of few steps, the first of which are slow
_LIKE = 1.25  # lengths of rows so near are the same


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the data: `rows` are sequences, or bins with packing.

    `padded_tokens` are what batches hold, None where it is not known; `cut` the tokens before which a
    sequence is cut. `exact`: counted, not scaled up.
    """

    rows: int
    sequences: int
    tokens: int
    padded_tokens: int | None = None
    cut: int = 0
    exact: bool = False

    @property
    def row_tokens(self) -> float:
        """Tokens of a row, without padding."""
        return self.tokens / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True)
class Time:
    """Seconds at best and at worst, or why there are none."""

    seconds: tuple[float, float] | None = None
    basis: Basis | None = None
    no_time: str | None = None


def time_of(
    recipe: Recipe,
    device: Device | None,
    shape: ModelShape | None,
    epoch: Epoch,
    epochs: float,
    evaluated_tokens: float,
    rates: Sequence[Rate],
) -> Time:
    """How long `epochs` of these rows take, with evaluations of so many tokens in all."""
    training = epochs * epoch.tokens
    if not training:
        return Time(no_time="no sequence is left to train on")
    more = 1 + _forward_share(recipe) * evaluated_tokens / training
    where = "CPU" if device is None else device.name
    found = _measured(recipe, where, shape, epoch, rates)
    if found is not None:
        slow, fast = found
        return Time((training / fast * more, training / slow * more), "measured on this device")
    if device is None:
        return Time(no_time="no run of this model and method with 2 steps or more has ended on this CPU")
    if shape is None:
        return Time(no_time="the closed form does not know this model, and no run of it has been timed here")
    gpu = gpu_of(device)
    if gpu is None:
        return Time(no_time=f"the speed of {device.name} is not known, and no run has been timed on it")
    if recipe.model.dtype == "float32":
        return Time(no_time=f"no run in float32 has been timed on {device.name}")
    spec = _spec(recipe, shape, epoch)
    packs = recipe.data.packing != "none"
    one = work(shape, spec, round(epoch.tokens / epoch.sequences) if packs else None)
    steps = epochs * epoch.rows / (spec.rows * spec.accumulation * spec.processes)
    fast, slow = (each * steps * more for each in seconds_of(one, gpu.flops, gpu.bandwidth))
    return Time((fast, slow), "from the device's FLOP/s")


def _spec(recipe: Recipe, shape: ModelShape, epoch: Epoch) -> StepSpec:
    """The step with rows of the mean length, padding that is computed included."""
    spec = step_of(recipe, shape)
    padded = epoch.padded_tokens if spec.layout in ("padded", "packed_dense") else None
    return _of_length(spec, (padded or epoch.tokens) / epoch.rows)


def _of_length(spec: StepSpec, length: float) -> StepSpec:
    return replace(spec, length=max(2, round(length)))


def _forward_share(recipe: Recipe) -> float:
    """The part that a forward pass has of training on the same tokens."""
    backward = 2 if recipe.adapter is None else 1
    return 1 / (1 + backward + int(recipe.training.gradient_checkpointing))


def _measured(
    recipe: Recipe, where: str, shape: ModelShape | None, epoch: Epoch, rates: Sequence[Rate]
) -> tuple[float, float] | None:
    """(lowest, highest) tokens a second to be expected after runs of the same model and method."""
    same: list[tuple[float, int]] = []
    other: list[tuple[float, int]] = []
    for rate in rates:
        if rate.device != where or _method(rate.recipe) != _method(recipe):
            continue
        like = 1 / _LIKE <= rate.row_tokens / max(1.0, epoch.row_tokens) <= _LIKE
        if _step(rate.recipe) == _step(recipe) and like:
            same.append((rate.tokens_per_second, rate.steps))
        elif shape is not None:
            # What is expected to differ, as the model of their work has it.
            before = typical_seconds(shape, _of_length(step_of(rate.recipe, shape), rate.row_tokens))
            after = typical_seconds(shape, _of_length(step_of(recipe, shape), epoch.row_tokens))
            other.append((rate.tokens_per_second * before / after, rate.steps))
    return _range(same, _SAME) or _range(other, _OTHER)


def _range(rates: Sequence[tuple[float, int]], apart: float) -> tuple[float, float] | None:
    """(lowest, highest) of rates, each with its steps: of short runs only where there is no other."""
    long = [rate for rate, steps in rates if steps >= ENOUGH]
    found = long or [rate for rate, _ in rates]
    if not found:
        return None
    apart *= 1 if long else _SHORT
    return min(found) / apart, max(found) * apart


def _method(recipe: Recipe) -> tuple[object, ...]:
    """What must be the same for a rate to tell anything of a recipe."""
    model, adapter = recipe.model, recipe.adapter
    return (
        model.name_or_path,
        model.revision,
        model.quantization,
        model.dtype,
        model.attn_implementation,
        adapter is None,
        adapter is not None and adapter.use_dora,
        recipe.data.packing == "none",
        recipe.training.num_processes,
    )


def _step(recipe: Recipe) -> tuple[object, ...]:
    """What else decides how long the tokens of a step take."""
    training, adapter = recipe.training, recipe.adapter
    return (
        adapter and (adapter.r, str(adapter.target_modules), adapter.dtype, adapter.lora_dropout > 0),
        adapter and adapter.modules_to_save,
        training.per_device_train_batch_size,
        training.gradient_accumulation_steps,
        training.gradient_checkpointing and training.gradient_checkpointing_every,
        training.optim,
        training.loss,
    )
