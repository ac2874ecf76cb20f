"""What `sftui estimate` prints: what a step takes, of what, when, and whether it fits."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sftui.json_text import json_text
from sftui.memory.answer import Answer, answer, known_shape, simulated_answer
from sftui.memory.band import fits_on
from sftui.memory.changes import Change, changes, cheapest
from sftui.memory.config_file import longest_position
from sftui.memory.estimate import Component, Moment
from sftui.memory.fit import largest_batch, longest, methods
from sftui.memory.levers import LONGEST
from sftui.memory.measured import measured_on
from sftui.memory.notes import notes
from sftui.memory.shape import ModelShape
from sftui.memory.why import Reason, why
from sftui.recipe import Recipe
from sftui.words import count, share, size

if TYPE_CHECKING:
    from rich.text import Text

IN_WORDS: dict[Moment, str] = {
    "load": "loading",
    "forward": "the forward pass",
    "loss": "the loss",
    "backward_last": "the backward pass of the last layers",
    "backward_first": "the backward pass of the first layers",
    "optimizer_step": "the optimizer step",
    "evaluation": "an evaluation",
    "save": "saving",
}
_STYLES = {"fits": "bold green", "tight": "bold yellow", "no": "bold red"}
_SHOWN_CHANGES = 5
_SHOWN_RUNS = 3
_BAR = 30  # cells of the longest bar


@dataclass(frozen=True, slots=True)
class Compared:
    """A method of training the same model, and what it comes to."""

    method: str
    answer: Answer


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
    if isinstance(shape, ModelShape):
        return answer(recipe, shape, device, history=history)
    print(f"{shape.why}: simulating its step", file=sys.stderr)
    return simulated_answer(recipe, device, history=history)


def compare(found: Answer) -> list[Compared]:
    """Full fine-tuning, LoRA and QLoRA of the same model; none where the closed form does not know it."""
    if found.shape is None:
        return []
    history = () if found.device is None else measured_on(found.device.name)
    return [
        Compared(method, answer(recipe, found.shape, found.device, history=history))
        for method, (recipe, _) in methods(found.recipe, found.shape).items()
    ]


def verdict(found: Answer) -> int:
    """The exit code: 1 where it does not fit."""
    return int(found.verdict == "no")


def print_answer(found: Answer, *, as_json: bool, compares: bool, explains: bool) -> None:
    """Print it on stdout."""
    if as_json:
        print(json_text(to_json(found, compares=compares, explains=explains), indent=2))
        return
    from rich.console import Console

    console = Console(highlight=False)
    console.print(render(found, compares=compares, explains=explains), soft_wrap=True)


def to_json(found: Answer, *, compares: bool = False, explains: bool = False) -> dict[str, Any]:
    """The answer of `estimate --json`. Bytes; `fits` and `device` are null without a device."""
    estimate, device, around = found.estimate, found.device, found.band
    components = {**estimate.components, "context": around.context or 0}
    document: dict[str, Any] = {
        "peak_bytes": estimate.peak_bytes,
        "reserved_bytes": around.typical,
        "reserved_band": [around.low, around.high],
        "band_runs": around.runs,
        "peak_phase": estimate.peak_moment.removesuffix("_last").removesuffix("_first"),
        "peak_moment": estimate.peak_moment,
        "components": components,
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
            {"run": one.run, "allocated_bytes": one.allocated_bytes, "reserved_bytes": one.reserved_bytes}
            for one in found.same
        ],
    }
    if compares:
        document["methods"] = {
            one.method: {"peak_bytes": one.answer.estimate.peak_bytes, "verdict": one.answer.verdict}
            for one in compare(found)
        }
    document["notes"] = _notes(found)
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
    yield "", ""
    yield from _components(found, explains=explains)
    yield "", ""
    yield from _moments(found)
    yield "", ""
    yield from _device(found)
    for note in _notes(found):
        yield "yellow", f"note: {note}"
    if compares:
        yield "", ""
        yield from _methods(found)
    if found.shape is not None:
        yield from _room(found, found.shape)


def _components(found: Answer, *, explains: bool) -> Iterator[tuple[str, str]]:
    """The peak by component."""
    peak, moment = found.estimate.peak_bytes, IN_WORDS[found.estimate.peak_moment]
    reasons = _reasons(found) if explains else {}
    yield "dim", f"{'':<16}{'size':>12}{'share':>9}"
    for name, bytes_ in found.estimate.components.items():
        if bytes_:
            yield "", f"{name:<16}{size(bytes_):>12}{share(bytes_ / peak):>9}"
            if name in reasons:
                yield "dim", f"    {reasons[name].formula}"
    yield "bold", f"{'peak':<16}{size(peak):>12}{share(1):>9}   allocated at most, at {moment}"
    if found.source == "simulation":
        yield "dim", "by a simulated step: the closed form does not know this model"


def _moments(found: Answer) -> Iterator[tuple[str, str]]:
    """The most in each moment."""
    highest = found.estimate.peak_bytes
    for moment in found.estimate.moments:
        bytes_ = found.estimate.at(moment)
        bar = "█" * max(1, round(_BAR * bytes_ / highest))
        mark = " ◂ peak" if moment == found.estimate.peak_moment else ""
        yield ("bold" if mark else ""), f"{moment:<16}{size(bytes_):>12}  {bar}{mark}"


def _device(found: Answer) -> Iterator[tuple[str, str]]:
    """What that is on the device."""
    around, device = found.band, found.device
    if around.runs:
        runs = f"{around.runs} run{'' if around.runs == 1 else 's'} measured on this device"
    else:
        runs = "after published runs: none is measured on this device"
    context = f"CUDA context {size(around.context)}" if around.context else "CUDA context not measured yet"
    low, high = size(around.low), size(around.high)
    yield "", f"on a device: {low} to {high}, usually {size(around.typical)} ({runs}; {context})"
    for one in found.same[:_SHOWN_RUNS]:
        yield (
            "",
            f"measured in {one.run}: {size(one.allocated_bytes)} allocated, "
            f"{size(one.reserved_bytes)} reserved",
        )
    if device is None or found.verdict is None:
        yield "yellow", "no GPU is seen here: --gpu NAME or --gpu SIZE says whether it fits one"
        return
    words_ = {"fits": "fits", "tight": "may just fit", "no": "does not fit"}[found.verdict]
    free = f"{size(device.free_bytes)} of {size(device.total_bytes)} free"
    yield _STYLES[found.verdict], f"{words_}: {device.name}, {free}"


def _methods(found: Answer) -> Iterator[tuple[str, str]]:
    for one in compare(found):
        decided = one.answer.verdict
        said = "" if decided is None else {"fits": "fits", "tight": "may just fit", "no": "no"}[decided]
        yield (
            _STYLES.get(decided or "", ""),
            f"{one.method:<16}{size(one.answer.estimate.peak_bytes):>12}  {said}",
        )
    if found.shape is None:
        yield "yellow", "the closed form does not know this model: methods are not compared"


def _room(found: Answer, shape: ModelShape) -> Iterator[tuple[str, str]]:
    """What else would fit, or what would make it fit."""
    device = found.device
    if device is None:
        return
    recipe = found.recipe
    fits = fits_on(device, recipe.training.loss, measured_on(device.name))
    if found.verdict == "fits":
        limit = longest_position(recipe.model.name_or_path, recipe.model.revision) or LONGEST
        batch, length = largest_batch(recipe, shape, fits), longest(recipe, shape, fits, limit)
        rows = recipe.training.per_device_train_batch_size
        yield "", ""
        if batch is not None:
            of_length = f"of {recipe.data.max_length:,} tokens"
            yield (
                "",
                f"largest micro-batch {of_length}: {batch.unbounded:,}, "
                f"{batch.value:,} at this effective batch",
            )
        if length is not None:
            yield "", f"longest sequence at micro-batch {rows:,}: {length.value:,} tokens"
        return
    yield "", ""
    made = cheapest(recipe, shape, fits)
    if made is None:
        yield "red", f"no change of this recipe makes it fit {device.name} with certainty; most is saved by:"
        options = changes(recipe, shape, found.estimate)
        made = sorted(options, key=lambda one: -one.saves)[:_SHOWN_CHANGES]
    else:
        yield "bold", "the cheapest way to make it fit:"
    for one in made:
        yield "", f"  {one.text}: saves {size(one.saves)}, {_slower(one)}"


def _slower(change: Change) -> str:
    """What it costs in time, and in what is learned."""
    percent = round(100 * (change.slower - 1))
    time = "no slower" if percent <= 0 else f"about {percent}% slower"
    after = {
        "same": "",
        "nearly": "",
        "learned": "; another part of the model is trained",
        "data": "; other tokens are trained on",
    }
    return f"{time}{after[change.result]}"


def _notes(found: Answer) -> list[str]:
    if found.shape is None or found.step is None:
        return []
    return notes(found.shape, found.step, found.estimate)


def _reasons(found: Answer) -> dict[Component, Reason]:
    if found.shape is None or found.step is None:
        return {}
    options = changes(found.recipe, found.shape, found.estimate)
    return why(found.shape, found.step, found.estimate, options)
