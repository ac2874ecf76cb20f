"""How many rows go through the model at once: as many of the longest that a run can meet as fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sftui.memory.band import Fits, fits_on
from sftui.memory.closed_form import estimate
from sftui.memory.device import Device
from sftui.memory.estimate import Estimate
from sftui.memory.known import Known
from sftui.memory.levers import batches, changed
from sftui.memory.measured import measured_on
from sftui.memory.shape import ModelShape
from sftui.proposal.draft import Draft
from sftui.proposal.models import Candidate
from sftui.recipe import Recipe
from sftui.words import counted

if TYPE_CHECKING:
    from sftui.proposal.settle import Asked

FILL = 0.97  # of a bin, that best fit fills
_PASS_TOKENS = 16_384  # in one forward pass: more is no faster
_BUSY_TOKENS = 4096  # in one forward pass, that keep a GPU busy without checkpointing
_CPU_PASS_TOKENS = 1024
_FILLED = 0.92  # of what is free, that a recipe is made to take at most


def sequences_a_step(asked: Asked) -> int:
    """Rows that one optimizer step learns from.

    More of them where there are many: the gradient is smoother, and there are steps enough.
    """
    rows = asked.facts.count
    return 8 if rows < 500 or asked.device is None else 16 if rows < 5000 else 32


def set_batch(draft: Draft, asked: Asked, model: Candidate) -> None:
    """Micro-batch, accumulation and checkpointing."""
    lengths, device = asked.lengths, asked.device
    sequences = sequences_a_step(asked)
    length = draft.value("data.max_length")
    total, noun, where = sequences, "row", ""
    packs = draft.value("data.packing") not in (None, "none")
    # What a run can meet decides whether it fits: rows are padded to the longest of their batch, and in some
    # batch that is the longest of all. What most batches have decides how busy the device is.
    most = length if packs else min(length, lengths.longest or length)
    usual = length if packs else min(length, lengths.at(95))
    if packs:
        mean = lengths.mean_within(length, drops=False)
        bins = sequences * mean / (FILL * length)
        total = max(1, 1 << max(0, round(bins) - 1).bit_length())
        a_bin = max(1.0, FILL * length / max(1.0, mean))
        sequences, noun, where = round(total * a_bin), "sequence", " in bins"
    own = draft.value("training.gradient_accumulation_steps")
    rows = draft.value("training.per_device_train_batch_size")
    if draft.has("training.gradient_accumulation_steps") or draft.has("training.per_device_train_batch_size"):
        total = own * rows
    draft.set("training.per_device_train_batch_size", 1)
    draft.set("training.gradient_accumulation_steps", total)
    recipe = draft.recipe()
    # Nothing says what fits a CPU's memory: there the longest rows are held to the limit themselves.
    each, limit = (most, _CPU_PASS_TOKENS) if device is None else (usual, _PASS_TOKENS)
    sizes = [size for size in batches(recipe) if size == 1 or size * each <= limit]
    chosen, checkpoints = _largest(asked, model, recipe, sizes, usual)
    draft.set("training.per_device_train_batch_size", chosen, _why_rows(chosen, device is None))
    about = f"about {counted(min(sequences, lengths.sequences), noun)}{where} a step"
    draft.as_made = f"{about}; {_of_pass(chosen, most, usual)}"
    draft.set("training.gradient_accumulation_steps", max(1, total // chosen), "passes that make a step")
    if not checkpoints:
        why = "activations fit: no second forward pass, about a quarter faster"
        draft.set("training.gradient_checkpointing", False, why)


def _why_rows(rows: int, on_cpu: bool) -> str:
    if on_cpu:
        return "few tokens in a pass: nothing says what fits a CPU's memory"
    return "what fits, or keeps the GPU busy" if rows > 1 else "more may not fit, or keep the GPU busier"


def _of_pass(rows: int, most: int, usual: int) -> str:
    """Why it is this micro-batch."""
    if usual >= most:
        return f"{rows * most:,} tokens in a pass"
    if rows == 1:
        return f"at most {most:,} tokens in a pass; most have {usual:,} or fewer"
    return (
        f"sized for a pass of the longest rows, {rows * most:,} tokens; most have {rows * usual:,} or fewer"
    )


def _largest(
    asked: Asked, model: Candidate, recipe: Recipe, sizes: Sequence[int], usual: int
) -> tuple[int, bool]:
    """The micro-batch, and whether activations are computed again: not where that keeps the device busy.

    All its rows are taken to be as long as the longest; `usual` are the tokens of one in most batches.
    """
    device, shape = asked.device, model.shape
    if device is None:
        return sizes[0], True
    if shape is None:
        return 1, True
    fits = fits_on(with_room_left(device), measured_on(device.name))
    known = Known(asked.lengths.longest, capability=device.capability)
    for checkpoints in (False, True):
        for rows in sizes:
            busy = rows * usual >= _BUSY_TOKENS or rows == sizes[0]
            if (checkpoints or busy) and _fits_so(recipe, shape, rows, checkpoints, known, fits):
                return rows, checkpoints
    return 1, True


def with_room_left(device: Device) -> Device:
    """The device without what is left free on it: a desktop grows, and other data fragments more."""
    return replace(device, used_bytes=device.used_bytes + round((1 - _FILLED) * device.free_bytes))


def _fits_so(
    recipe: Recipe, shape: ModelShape, rows: int, checkpoints: bool, known: Known, fits: Fits
) -> bool:
    total = recipe.training.gradient_accumulation_steps
    made = changed(
        recipe,
        {
            "training.per_device_train_batch_size": rows,
            "training.gradient_accumulation_steps": max(1, total // rows),
            "training.gradient_checkpointing": checkpoints,
        },
    )
    return made is not None and fits(made, estimate_of(made, shape, known))


def estimate_of(recipe: Recipe, shape: ModelShape, known: Known) -> Estimate:
    """The closed form's, of what is known of the rows."""
    return estimate(shape, known.step(recipe, shape))
