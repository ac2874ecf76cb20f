"""The compare pane: methods side by side, what there is room for, what would make it fit. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from textual.content import Content

from sftui.printable import printable

from .memory_fields import in_words, targets_in_words
from .memory_view import AMOUNT, GIB, MIB, MUTED, VERDICTS, amount, brief, column, unit_name, unit_of

if TYPE_CHECKING:
    from sftui.devices import Machine
    from sftui.memory.answer import Answer
    from sftui.memory.band import Verdict
    from sftui.memory.changes import Change
    from sftui.memory.checkpoint_size import DiskUse
    from sftui.memory.device import Device
    from sftui.memory.estimate import Estimate
    from sftui.memory.fit import Fit
    from sftui.memory.fit import Line as Thumb
    from sftui.memory.known import Known
    from sftui.memory.measured import Measured
    from sftui.memory.shape import ModelShape
    from sftui.recipe import Recipe

    from .memory_lengths import Lengths

# Changes that are listed.
MOST = 7
NAME = 16
FITS = "fits up to"
# Cells of a line: in a wider pane its columns would drift apart.
WIDEST = 56
SHORT = {
    "target_modules": "targets",
    "per_device_train_batch_size": "micro-batch",
    "per_device_eval_batch_size": "eval batch",
    "gradient_accumulation_steps": "accumulation",
    "gradient_checkpointing": "checkpointing",
    "gradient_checkpointing_every": "every",
    "attn_implementation": "attention",
    "lora_dropout": "dropout",
    "lora_alpha": "alpha",
    "use_dora": "DoRA",
    "r": "rank",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the pane: what it is called, bytes or a number, a verdict or a time, and what it would try.

    A heading has no `recipe`. `words` explain it below the list. `current`: it is what is tried already;
    `saves`: the figure is what it takes off the peak.
    """

    text: str
    figure: str = ""
    verdict: Verdict | None = None
    note: str = ""
    recipe: Recipe | None = None
    words: str = ""
    current: bool = False
    saves: bool = False


Decided = Callable[["Recipe", "Estimate"], "Verdict | None"]
"""Whether a recipe with this estimate fits the device; None without one."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found out about a recipe on a device, for the pane."""

    recipe: Recipe
    lines: tuple[Line, ...]
    changes: tuple[Change, ...]
    disk: DiskUse


def compare(
    recipe: Recipe,
    shape: ModelShape,
    found: Estimate,
    device: Device | None,
    lengths: Lengths,
    history: Sequence[Measured],
) -> Comparison:
    """All lines of the pane; a tenth of a second, for a thread. `found` is the recipe's own estimate."""
    from sftui.memory.band import band, verdict
    from sftui.memory.changes import changes
    from sftui.memory.checkpoint_size import disk_needed
    from sftui.memory.fit import methods
    from sftui.memory.known import Known

    def decided(one: Recipe, estimate: Estimate) -> Verdict | None:
        if device is None:
            return None
        return verdict(band(estimate.peak_bytes, one.training.loss, history), device)

    known = Known(*lengths, capability=None if device is None else device.capability)
    made = methods(recipe, shape, known)
    unit = unit_of(max(estimate.peak_bytes for _, estimate in made.values()))
    lines = [Line(f"methods, {unit_name(unit)}")]
    lines += [
        Line(
            name,
            amount(estimate.peak_bytes, unit),
            decided(other, estimate),
            recipe=other,
            words=f"{_stored(other)}: peak {brief(estimate.peak_bytes)}",
            current=other == recipe,
        )
        for name, (other, estimate) in made.items()
    ]
    if device is not None:
        lines += _room(recipe, shape, decided, known)
    single = tuple(changes(recipe, shape, found, known))
    lines += _changes(recipe, shape, found, single, decided, known)
    return Comparison(recipe, tuple(lines), single, disk_needed(recipe, shape))


def lines_beside(known: Comparison, found: Answer) -> tuple[Line, ...]:
    """The lines beside an answer: that of its own recipe says what a simulation of it did."""
    if found.source != "simulation" or known.recipe != found.recipe:
        return known.lines
    peak, unit = found.estimate.peak_bytes, MIB if known.lines[0].text.endswith("MiB") else GIB
    made: list[Line] = []
    for line in known.lines:
        if line.current and not line.saves:
            line = replace(line, verdict=found.verdict, words=f"{line.words}; simulated: {brief(peak)}")
            if not any(each.text == FITS for each in made):  # of the methods
                line = replace(line, figure=amount(peak, unit))
        made.append(line)
    return tuple(made)


def _stored(recipe: Recipe) -> str:
    model = recipe.model
    if recipe.adapter is None:
        return f"all weights trained in {model.dtype}"
    kept = model.dtype if model.quantization == "none" else model.quantization
    return f"a rank {recipe.adapter.r} adapter on weights kept in {kept}"


def _room(recipe: Recipe, shape: ModelShape, decided: Decided, known: Known) -> list[Line]:
    """The largest micro-batch at this length, the longest sequence at this batch: surely, and perhaps."""
    from sftui.memory.config_file import longest_position
    from sftui.memory.fit import largest_batch, longest
    from sftui.memory.levers import LONGEST

    def surely(one: Recipe, estimate: Estimate) -> bool:
        return decided(one, estimate) == "fits"

    def perhaps(one: Recipe, estimate: Estimate) -> bool:
        return decided(one, estimate) != "no"

    limit = longest_position(recipe.model.name_or_path, recipe.model.revision) or LONGEST
    batches = [largest_batch(recipe, shape, fits, known) for fits in (surely, perhaps)]
    lengths = [longest(recipe, shape, fits, limit, known) for fits in (surely, perhaps)]
    length, batch = known.step(recipe, shape).length, recipe.training.per_device_train_batch_size
    return [
        Line(FITS),
        _fit_line("micro-batch", batches, recipe, f"at {length:,} tokens, the effective batch kept"),
        _fit_line("max_length", lengths, recipe, f"at a micro-batch of {batch:,}"),
    ]


def _fit_line(name: str, found: Sequence[Fit | None], recipe: Recipe, when: str) -> Line:
    sure, perhaps = found
    best = sure or perhaps
    if best is None:
        return Line(name, "none", "no", words=f"no {name} fits {when}")
    tight = "" if perhaps is None or perhaps.value == best.value else f"~ {perhaps.value:,}"
    words = f"{name} {best.value:,} {when}"
    if best.unbounded > best.value:
        words += f"; {best.unbounded:,} with a larger one"
    if sure is None:
        words += ": tight, it may not fit"
    return Line(
        name,
        f"{best.value:,}",
        "fits" if sure is not None else "tight",
        tight,
        best.recipe,
        words,
        best.recipe == recipe,
    )


def _changes(
    recipe: Recipe,
    shape: ModelShape,
    found: Estimate,
    single: Sequence[Change],
    decided: Decided,
    known: Known,
) -> list[Line]:
    """The cheapest changes that make it fit; where it does, or nothing does, those that save most."""
    from sftui.memory.changes import best, cheapest, most

    heading = "saves most"
    if decided(recipe, found) not in (None, "fits"):
        needed = cheapest(recipe, shape, lambda one, estimate: decided(one, estimate) == "fits", known)
        if needed:
            lines = [Line("makes it fit, each with those above")]
            return lines + [_change_line(one, found, sum_up=True) for one in needed]
        least = brief(most(recipe, shape, known).peak_bytes)
        heading = f"nothing makes it fit, all come to {least}; saves most"
    listed = best(single, MOST)
    return [Line(heading), *(_change_line(one, found) for one in listed)] if listed else []


def _change_line(one: Change, found: Estimate, *, sum_up: bool = False) -> Line:
    from sftui.memory.change_words import result_words, time_words

    unit = unit_of(found.peak_bytes)
    slower = one.slower - 1
    time = f"{slower:+.0%}" if abs(slower) >= 0.005 else "±0%"
    leads = f", peak {brief(one.estimate.peak_bytes)}" if sum_up else ""
    return Line(
        _short(one),
        f"-{amount(one.saves, unit)}",
        note=time,
        recipe=one.recipe,
        words=f"{one.text}: saves {brief(one.saves)}{leads}, {time_words(one.slower)}; {result_words(one)}",
        saves=True,
    )


def _short(one: Change) -> str:
    """In as few cells as it can be told apart."""
    if "adapter" in one.values:
        return "a LoRA adapter"
    if len(one.values) > 1:
        # What follows from the other: the effective batch stays, and the scale of the adapter.
        following = ("gradient_accumulation_steps", "lora_alpha")
        values = {key: value for key, value in one.values.items() if not key.endswith(following)}
    else:
        values = dict(one.values)
    parts = []
    for key, value in values.items():
        name = key.rpartition(".")[2]
        said = targets_in_words(value) if name == "target_modules" else in_words(value)
        parts.append(f"{SHORT.get(name, name)} {said}")
    return ", ".join(parts)


# -- lines as text


def line_cells(line: Line, width: int) -> list[tuple[str, str]]:
    """Name, figure, verdict or time; the name gives way first, and columns do not drift apart."""
    if line.recipe is None and not line.figure:
        return [(f"{line.text} {'─' * max(0, width - len(line.text) - 2)}", "muted")]
    right: list[tuple[str, str]] = [(f"{line.figure:>{AMOUNT + 1}}", "")]
    if line.verdict is not None:
        sign, _, colour = VERDICTS[line.verdict]
        right.append((f" {sign} {line.verdict:5}", colour))
    if line.note:
        right.append((f" {line.note:>5}", "muted"))
    right.append((" ◂" if line.current else "", "bold"))
    used = sum(len(text) for text, _ in right)
    room = max(min(width, WIDEST) - used, 4)
    name = line.text if len(line.text) <= room else f"{line.text[: room - 1]}…"
    return [(f"{name:{room if line.saves else min(room, NAME)}}", ""), *right]


def thumb_words(lines: Sequence[Thumb], model: str) -> Content:
    """Where the rule comes from that what takes 4 GB to run takes 16 GB or more to train in full."""
    parts: list[Content] = [
        Content("What takes 4 GB to run takes 16 GB and more to train in full.\n"),
        Content.styled(f"In bfloat16 with AdamW, for {printable(model)}:\n\n", MUTED),
    ]
    for line in lines:
        each = f"{line.each} B a parameter" if line.each is not None else ""
        text = f"{line.name:<20}{each:<18}{column(line.bytes):>12}\n"
        if line.total:
            text = f"{'─' * 50}\n{text}\n"
        parts.append(Content.styled(text, "bold" if line.total else ""))
    parts.append(
        Content.styled(
            "An adapter needs gradients and moments for its own parameters only: what is left are the "
            "weights, which quantisation makes smaller, and activations, which length and batch decide.",
            MUTED,
        )
    )
    return Content("").join(parts)


def box_words(
    found: Answer, machine: Machine | None, known: Comparison | None, *, width: int, heading: bool
) -> Content:
    """What was measured here, RAM, the disk against what a run writes, and who holds the GPU's memory."""
    from sftui.memory.checkpoint_size import disk_needed

    disk = known.disk if known is not None else disk_needed(found.recipe, found.estimate.parameters)
    lines = [_measured(found.same, found.estimate.peak_bytes, found.length)]
    if heading:
        lines.insert(0, Content.styled(f"this box {'─' * max(width - 10, 0)}", MUTED))
    if machine is None:
        return Content("\n").join([*lines, Content.styled("looking at this machine…", MUTED)])
    if machine.ram_total_bytes is not None and machine.ram_used_bytes is not None:
        free = machine.ram_total_bytes - machine.ram_used_bytes
        lines.append(Content(f"RAM {brief(free)} free of {brief(machine.ram_total_bytes)}"))
    if machine.runs_free_bytes is not None:
        short = machine.runs_free_bytes < disk.peak
        text = f"disk {brief(machine.runs_free_bytes)} free, run writes {brief(disk.peak)}"
        lines.append(Content.styled(text, "bold $text-error" if short else ""))
    lines.append(_holders(machine, found.device))
    return Content("\n").join(lines)


def _holders(machine: Machine, device: Device | None) -> Content:
    if not machine.devices:
        return Content.styled(printable(machine.gpu_problem or "no GPU is visible"), MUTED)
    if device is None or not device.here:
        return Content.styled("the GPU is not one of this machine", MUTED)
    holders = machine.holders_of(device)
    if not holders:
        return Content(f"GPU {brief(device.used_bytes)} used, by nobody that is told")
    first = holders[0]
    held = "" if first.used_bytes is None else f" holds {brief(first.used_bytes)}"
    more = f", {len(holders) - 1} more" if len(holders) > 1 else ""
    return Content(f"GPU {printable(first.name or 'process')} {first.pid}{held}{more}")


def _measured(same: Sequence[Measured], predicted: int, length: int) -> Content:
    """Runs of the same model and step on this device, beside the prediction where they have its length."""
    if not same:
        return Content.styled("measured: none on this box", MUTED)
    first = same[0]
    own = first.step.get("length")
    if isinstance(own, int) and own != length:
        beside = f" at {own:,} tokens"
    else:
        beside = f" ({first.allocated_bytes / predicted - 1:+.1%})"
    more = f", {len(same):,} runs" if len(same) > 1 else ""
    return Content.assemble(
        "measured ",
        (brief(first.allocated_bytes), "bold"),
        f"{beside}, reserved {brief(first.reserved_bytes)}{more}",
    )
