"""What else of a recipe would fit a device, or what would make it fit: for `sftui estimate`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sftui.memory.answer import Answer
from sftui.memory.band import fits_on
from sftui.memory.change_words import result_words, time_words
from sftui.memory.changes import Change, best, changes, cheapest, most
from sftui.memory.config_file import longest_position
from sftui.memory.fit import Fit, largest_batch, longest
from sftui.memory.levers import LONGEST
from sftui.memory.measured import measured_on
from sftui.memory.simulated_changes import Simulated
from sftui.words import size

_SHOWN_CHANGES = 5


@dataclass(frozen=True, slots=True)
class Room:
    """What fits, where the recipe does: `batch` and `length`; else `changes`.

    `least`: where no changes suffice, the bytes that are allocated with all of them; None where they do.
    """

    batch: Fit | None = None
    length: Fit | None = None
    changes: tuple[Change, ...] = ()
    least: int | None = None


def room(found: Answer) -> Room | None:
    """None without a device, and for a simulated model: each of its numbers would be a simulation."""
    device, shape = found.device, found.shape
    if device is None or shape is None:
        return None
    recipe, known = found.recipe, found.known
    fits = fits_on(device, measured_on(device.name))
    if found.verdict == "fits":
        limit = longest_position(recipe.model.name_or_path, recipe.model.revision) or LONGEST
        batch = largest_batch(recipe, shape, fits, known)
        return Room(batch, longest(recipe, shape, fits, limit, known))
    made = cheapest(recipe, shape, fits, known)
    if made is not None:
        return Room(changes=tuple(made))
    single = best(changes(recipe, shape, found.estimate, known), _SHOWN_CHANGES)
    return Room(changes=tuple(single), least=most(recipe, shape, known).peak_bytes)


def room_lines(found: Answer, made: Room) -> Iterator[tuple[str, str]]:
    """Lines for people, each with its style."""
    rows = found.recipe.training.per_device_train_batch_size
    if made.batch is not None:
        yield "", _largest(made.batch, found.length)
    if made.length is not None:
        yield "", f"longest sequence at a micro-batch of {rows:,}: {made.length.value:,} tokens"
    if made.least is not None and found.device is not None:
        yield (
            "red",
            f"no change of this recipe makes it fit {found.device.name} with certainty: "
            f"all at once come to {size(made.least)} allocated; most is saved by one of:",
        )
    elif made.changes:
        yield "bold", "the cheapest way to make it fit:"
    for one in made.changes:
        yield "", f"  {_change(one)}"


def room_json(made: Room | None) -> dict[str, Any]:
    """Keys of `estimate --json`; null where they are not known, or are of the other verdict.

    `remedies` in their order, each with those before it unless `remedies_suffice` is false: then each is
    alone. Bytes; `slower` is how many times as long a step takes.
    """
    batch, length = (None, None) if made is None else (made.batch, made.length)
    changed = made is not None and bool(made.changes or made.least)
    return {
        "largest_batch": None if batch is None else {"same_effective": batch.value, "any": batch.unbounded},
        "longest_length": None if length is None else length.value,
        "remedies": None
        if made is None or not changed
        else [
            {
                "text": one.text,
                "values": dict(one.values),
                "saves_bytes": one.saves,
                "peak_bytes": one.estimate.peak_bytes,
                "slower": round(one.slower, 4),
                "result": one.result,
            }
            for one in made.changes
        ],
        "remedies_suffice": None if made is None or not changed else made.least is None,
    }


def simulated_lines(found: Answer, changed: list[Simulated]) -> Iterator[tuple[str, str]]:
    """What changes of a simulated model come to, each by itself."""
    if not changed:
        yield "", "none of the usual changes lowers the peak (simulated)"
        return
    yield "bold", "usual changes that lower the peak, each by itself (simulated):"
    for one in changed:
        assert one.answer is not None, "those without an answer are left out"
        peak = one.answer.estimate.peak_bytes
        fits = {"fits": ": it fits", "tight": ": it may just fit", "no": "", None: ""}[one.answer.verdict]
        yield "", f"  {one.name}: saves {size(found.estimate.peak_bytes - peak)}, peak {size(peak)}{fits}"


def _largest(batch: Fit, length: int) -> str:
    """The largest micro-batch with the effective batch of the recipe, and without."""
    training = batch.recipe.training
    effective = batch.value * training.gradient_accumulation_steps
    text = f"largest micro-batch of {length:,} tokens: {batch.value:,}"
    text += f", the effective batch of {effective:,} kept"
    return f"{text}; {batch.unbounded:,} with a larger one" if batch.unbounded > batch.value else text


def _change(one: Change) -> str:
    """What it saves, and what it costs in time and in what is learned."""
    costs = time_words(one.slower)
    costs += f"; {result_words(one)}" if one.result != "same" else ""
    return f"{one.text}: saves {size(one.saves)}, {costs}"
