"""What `sftui estimate` prints: what a step takes, of what, when, and whether it fits."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sftui.data.longest import longest_at_hand
from sftui.estimate_room import room, room_json, room_lines, simulated_lines
from sftui.json_text import json_text
from sftui.memory.answer import Answer, answer, known_shape, simulated_answer
from sftui.memory.changes import changes
from sftui.memory.config_file import longest_position
from sftui.memory.estimate import Component
from sftui.memory.fit import methods
from sftui.memory.measured import Measured, measured_on
from sftui.memory.moment_words import NAMES, WHEN
from sftui.memory.notes import notes
from sftui.memory.refused import refusals
from sftui.memory.shape import ModelShape
from sftui.memory.simulated_changes import Simulated, simulated_changes, simulated_methods
from sftui.memory.why import Reason, why
from sftui.recipe import Recipe
from sftui.words import count, counted, share, size

if TYPE_CHECKING:
    from rich.text import Text

_STYLES = {"fits": "bold green", "tight": "bold yellow", "no": "bold red"}
_UNKNOWN = "the closed form does not know this model: sizes are counted by a simulation, and not explained"
_ON_DEMAND = "what would make it fit is simulated with --compare, as the methods are: some seconds each"
_SHOWN_RUNS = 3
_BAR = 30  # cells of the longest bar


@dataclass(frozen=True, slots=True)
class Compared:
    """A method of training the same model, and what it comes to; else why that is not known."""

    method: str
    answer: Answer | None
    problem: str | None = None


def look(recipe: Recipe, gpu: str | None) -> Answer:
    """What a recipe's step takes, on the GPU of that name or size, else on this machine's first.

    Raises InputError.
    """
    if gpu is None:
        from sftui.devices import device_for

        device = device_for(recipe)
    else:
        from sftui.memory.gpus import device_of

        device = device_of(gpu)
    shape = known_shape(recipe.model.name_or_path, recipe.model.revision)
    history = () if device is None else measured_on(device.name)
    own, held_out = longest_at_hand(recipe), longest_at_hand(recipe, "eval")
    if isinstance(shape, ModelShape):
        return answer(recipe, shape, device, longest=own, longest_held_out=held_out, history=history)
    print(f"{shape.why}: simulating its step", file=sys.stderr)
    return simulated_answer(recipe, device, longest=own, longest_held_out=held_out, history=history)


def compare(found: Answer) -> list[Compared]:
    """Full fine-tuning, LoRA and QLoRA of the model; simulated where the closed form does not know it."""
    if found.shape is None:
        print("simulating the methods", file=sys.stderr)
        return [Compared(one.name, one.answer, one.problem) for one in simulated_methods(found)]
    shape, device, known = found.shape, found.device, found.known
    history = () if device is None else measured_on(device.name)
    lengths = {"longest": known.longest, "longest_held_out": known.longest_held_out}
    return [
        Compared(method, answer(recipe, shape, device, **lengths, history=history))
        for method, (recipe, _) in methods(found.recipe, shape, known).items()
    ]


def verdict(found: Answer) -> int:
    """The exit code: 1 where it does not fit."""
    return int(found.verdict == "no")


def print_answer(found: Answer, *, as_json: bool, compares: bool, explains: bool) -> None:
    """Print it on stdout."""
    if as_json:
        if found.shape is None and explains:
            print(_UNKNOWN, file=sys.stderr)
        print(json_text(to_json(found, compares=compares, explains=explains), indent=2))
        return
    from rich.console import Console

    console = Console(highlight=False)
    console.print(render(found, compares=compares, explains=explains), soft_wrap=True)


def to_json(found: Answer, *, compares: bool = False, explains: bool = False) -> dict[str, Any]:
    """The answer of `estimate --json`. Bytes; `fits`, `verdict` and `device` are null without a device.

    `components` add up to `peak_bytes`: their `context` is 0, since it is outside of what torch allocates;
    `context_bytes` was measured on the device, or is null. `reserved_bytes` and `reserved_band` are of all
    that the run takes of the device, context included. `fits` is true unless it surely does not; `verdict`
    tells "fits" from "tight", which may fit. `length_from` is "data" where the longest sequence is known,
    else "max_length": all rows are taken to be that long.
    """
    estimate, device, around = found.estimate, found.device, found.band
    document: dict[str, Any] = {
        "peak_bytes": estimate.peak_bytes,
        "reserved_bytes": around.typical,
        "reserved_band": [around.low, around.high],
        "band_runs": around.runs,
        "peak_phase": estimate.peak_moment.removesuffix("_last").removesuffix("_first"),
        "peak_moment": estimate.peak_moment,
        "components": dict(estimate.components),
        "context_bytes": around.context,
        "length": found.length,
        "length_from": found.length_from,
        "moments": {moment: sum(parts.values()) for moment, parts in estimate.moments.items()},
        "parameters": {
            "total": estimate.parameters.total,
            "trainable": estimate.parameters.trainable,
            "kinds": dict(estimate.parameters.kinds),
        },
        "source": found.source,
        "device": None
        if device is None
        else {"name": device.name, "total_bytes": device.total_bytes, "used_bytes": device.used_bytes},
        "fits": None if found.verdict is None else found.verdict != "no",
        "verdict": found.verdict,
        "measured": [
            {
                "run": one.run,
                "length": one.step.get("length"),
                "allocated_bytes": one.allocated_bytes,
                "reserved_bytes": one.reserved_bytes,
            }
            for one in found.same
        ],
    }
    if compares:
        document["methods"] = {
            one.method: {"peak_bytes": None, "verdict": None, "problem": one.problem}
            if one.answer is None
            else {"peak_bytes": one.answer.estimate.peak_bytes, "verdict": one.answer.verdict}
            for one in compare(found)
        }
    document["notes"] = _notes(found)
    document.update(room_json(room(found)))
    document["refused"] = refusals(found.recipe, found.shape, device)
    if explains:
        document["why"] = {name: reason.formula for name, reason in _reasons(found).items()}
    return document


def render(found: Answer, *, compares: bool = False, explains: bool = False) -> Text:
    """The answer of `estimate` for people."""
    from rich.text import Text

    text = Text()
    for style, line in _lines(found, compares=compares, explains=explains):
        text.append(f"{line}\n", style=style)
    text.rstrip()
    return text


def _lines(found: Answer, *, compares: bool, explains: bool) -> Iterator[tuple[str, str]]:
    """Lines, each with its style."""
    numbers = found.estimate.parameters
    yield "bold", found.recipe.summary()
    trained = numbers.trainable / numbers.total
    yield "", f"{count(numbers.total)} parameters, {count(numbers.trainable)} trained ({share(trained)})"
    yield "", _rows(found)
    yield "", ""
    yield from _components(found, explains=explains)
    yield "", ""
    yield from _moments(found)
    yield "", ""
    yield from _device(found)
    for note in _notes(found):
        yield "yellow", f"note: {note}"
    if found.shape is None and explains:
        yield "yellow", f"note: {_UNKNOWN}"
    if compares:
        yield "", ""
        yield from _methods(found)
    made = room(found)
    if made is not None:
        yield "", ""
        yield from room_lines(found, made)
    elif found.shape is None and found.verdict in ("no", "tight"):
        yield "", ""
        if not compares:
            yield "", _ON_DEMAND
        else:
            yield from simulated_lines(found, _changes(found))


def _rows(found: Answer) -> str:
    """What a micro-batch is taken to be."""
    recipe, length = found.recipe, f"{found.length:,} tokens"
    number = recipe.training.per_device_train_batch_size
    if recipe.data.packing != "none":
        return f"micro-batch: {counted(number, 'bin')} of {length}"
    rows = f"micro-batch: {counted(number, 'row')} of {length}"
    if found.length_from == "data":
        return f"{rows}, the longest of the data"
    return f"{rows} (data.max_length; shorter rows take less)"


def _components(found: Answer, *, explains: bool) -> Iterator[tuple[str, str]]:
    """The peak by component."""
    peak, when = found.estimate.peak_bytes, WHEN[found.estimate.peak_moment]
    reasons = _reasons(found) if explains else {}
    yield "dim", f"{'':<16}{'size':>12}{'share':>9}"
    for name, bytes_ in found.estimate.components.items():
        if bytes_:
            yield "", f"{name:<16}{size(bytes_):>12}{share(bytes_ / peak):>9}"
            if name in reasons:
                yield "dim", f"    {reasons[name].formula}"
    yield "bold", f"{'peak':<16}{size(peak):>12}{share(1):>9}   allocated at most, {when}"
    if found.source == "simulation":
        yield "dim", "by a simulated step: the closed form does not know this model"


def _moments(found: Answer) -> Iterator[tuple[str, str]]:
    """The most in each moment."""
    highest = found.estimate.peak_bytes
    for moment in found.estimate.moments:
        bytes_ = found.estimate.at(moment)
        bar = "█" * max(1, round(_BAR * bytes_ / highest))
        mark = " ◂ peak" if moment == found.estimate.peak_moment else ""
        yield ("bold" if mark else ""), f"{NAMES[moment]:<16}{size(bytes_):>12}  {bar}{mark}"


def _device(found: Answer) -> Iterator[tuple[str, str]]:
    """What that is on the device."""
    around, device = found.band, found.device
    if device is None:
        ram = size(found.ram_bytes)
        yield "", f"on the CPU: about {ram} of RAM (these tensors, what passing ones leave, torch itself)"
    if around.runs:
        runs = f"{counted(around.runs, 'run')} measured on this device"
    else:
        runs = "after published runs: none was measured on this device"
    context = f"CUDA context {size(around.context)}" if around.context else "CUDA context not measured yet"
    low, high = size(around.low), size(around.high)
    where = "on a GPU" if device is None else f"on {device.name}"
    usual = "" if around.typical == around.high else f", usually {size(around.typical)}"
    yield "", f"{where}: {low} to {high}{usual} ({runs}; {context})"
    for one in found.same[:_SHOWN_RUNS]:
        yield "", _measured(one, found.length)
    if device is None or found.verdict is None:
        yield "yellow", "no GPU is seen here: --gpu NAME or --gpu SIZE says whether it fits one"
        return
    refused = refusals(found.recipe, found.shape, device)
    words_ = {
        "fits": "would fit, but such a run is refused" if refused else "fits",
        "tight": "may just fit",
        "no": "does not fit",
    }[found.verdict]
    free = f"{size(device.free_bytes)} of {size(device.total_bytes)} free"
    yield (
        _STYLES["tight" if refused and found.verdict == "fits" else found.verdict],
        f"{words_}: {device.name}, {free}",
    )


def _measured(one: Measured, length: int) -> str:
    """What a run of this step took, and of which length it was where that is another."""
    own = one.step.get("length")
    longest = f" with sequences of {own:,} tokens" if isinstance(own, int) and own != length else ""
    took = f"{size(one.allocated_bytes)} allocated, {size(one.reserved_bytes)} reserved"
    return f"measured in {one.run}{longest}: {took}"


def _methods(found: Answer) -> Iterator[tuple[str, str]]:
    for one in compare(found):
        if one.answer is None:
            yield "yellow", f"{one.method:<16}{'':>12}  {one.problem}"
            continue
        decided = one.answer.verdict
        said = "" if decided is None else {"fits": "fits", "tight": "may just fit", "no": "no"}[decided]
        yield (
            _STYLES.get(decided or "", ""),
            f"{one.method:<16}{size(one.answer.estimate.peak_bytes):>12}  {said}",
        )


def _changes(found: Answer) -> list[Simulated]:
    print("simulating changes", file=sys.stderr)
    return simulated_changes(found)


def _positions(recipe: Recipe) -> int | None:
    return longest_position(recipe.model.name_or_path, recipe.model.revision)


def _notes(found: Answer) -> list[str]:
    positions = _positions(found.recipe)
    return notes(
        found.recipe, found.estimate, found.shape, found.length, device=found.device, positions=positions
    )


def _reasons(found: Answer) -> dict[Component, Reason]:
    if found.shape is None or found.step is None:
        return {}
    options = changes(found.recipe, found.shape, found.estimate, found.known)
    return why(found.shape, found.step, found.estimate, options)
