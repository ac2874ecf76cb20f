"""What the Memory screen says, as text: pure functions of an answer and the recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from textual.content import Content

from sftui.printable import printable
from sftui.words import counted

from .memory_fields import checkpointing_in_words, method_of, targets_in_words
from .memory_pictures import COLOURS, GLYPHS, LETTER, LETTERS, Cells, stack, without_letters

if TYPE_CHECKING:
    from sftui.memory.answer import Answer
    from sftui.memory.band import Band
    from sftui.memory.device import Device
    from sftui.memory.why import Reason
    from sftui.recipe import Recipe

Pane = Literal["change", "compare", "components", "step"]
PANES: tuple[Pane, ...] = ("change", "compare", "components", "step")
MUTED = "$foreground-muted"
GIB, MIB = 2**30, 2**20
# Cells of a number of bytes in a column, and of a component's name.
AMOUNT = 8
SHARE = 6
NAME = 15
MOMENT = 15
VERDICTS: dict[str, tuple[str, str, str]] = {
    "fits": ("✓", "fits", "success"),
    "tight": ("~", "tight", "warning"),
    "no": ("✗", "does not fit", "error"),
}
"""A sign, the words and the colour of each verdict."""
ALLOCATED, RESERVED = "allocated", "reserved"
"""The lines below the components: their sum, and the band of what a run takes of the device."""

NO_RECIPE = Content.assemble(
    ("No recipe is open.\n\n", "bold"),
    "See whether a run fits before it runs.\n\n",
    ("4", "bold $text-accent"),
    " opens a ready recipe, one of a run, or makes one for your dataset.\n",
    "From the shell:   sftui RECIPE   or   sftui new my.jsonl -o my.yaml\n\n",
    ("6 lists the runs, ? the keys.", MUTED),
)


LOOK_AGAIN = "Enter looks again, ? lists the keys."
CHANGE_IT = "← → try another value, 4 opens the recipe, ? lists the keys."
SIMULATE_AGAIN = "v simulates again, ← → try another value, ? lists the keys."


def problem(words: str, keys: str) -> Content:
    """Why nothing can be said, and what to do."""
    return Content.assemble(
        ("How much memory the run takes is not known.\n\n", "bold"),
        ("\n".join(map(printable, words.split("\n"))), "$text-error"),
        (f"\n\n{keys}", MUTED),
    )


def tried_words(fields: int, unsaved: int) -> str:
    """What can be done with what is tried, or was applied: so many fields differ."""
    if fields:
        return f"{fields} tried: Enter applies, Esc undoes"
    return f"{unsaved} unsaved: S saves" if unsaved else "← → try another value"


# -- numbers


def unit_of(size: int) -> int:
    """The unit in which numbers of this order stand: GiB, or MiB for small models."""
    return GIB if size >= 0.995 * GIB else MIB


def unit_name(unit: int) -> str:
    """`GiB`, `MiB`."""
    return "GiB" if unit == GIB else "MiB"


def amount(size: int, unit: int) -> str:
    """A number in a unit, with as many digits after the point in all of a column."""
    return f"{size / unit:,.{2 if unit == GIB else 1}f}"


def brief(size: int) -> str:
    """`9.7 GiB`, `512 MiB`; a device's size without what is below its last digit: `24 GiB`."""
    if size < 0.995 * GIB:
        return f"{size / MIB:,.0f} MiB"
    return f"{gib(size)} GiB"


def column(size: int) -> str:
    """`24.0 GiB`, `512 MiB`: with a digit after the point, so that points stand below each other."""
    return f"{size / GIB:,.1f} GiB" if size >= 0.995 * GIB else f"{size / MIB:,.0f} MiB"


def gib(size: int) -> str:
    """`9.7`, `24`, `139.8`, in GiB."""
    text = f"{size / GIB:,.1f}"
    return text.removesuffix(".0")


def device_name(device: Device) -> str:
    """Without the words that all of them share."""
    return printable(device.name.removeprefix("NVIDIA ").removeprefix("GeForce "))


# -- the subject


def subject(
    recipe: Recipe, found: Answer | None, state: str, width: int, *, length: int | None = None
) -> Content:
    """Model, method and step at the left, the verdict at the right; what matters least gives way first.

    `state` is what is going on, such as a simulation; `length` that of the longest sequence where it is less
    than max_length.
    """
    training = recipe.training
    method = method_of(recipe)
    if recipe.adapter is None:
        method += f" {recipe.model.dtype}"
    else:
        quantised = f" {recipe.model.quantization}" if recipe.model.quantization != "none" else ""
        method += f"{quantised} r{recipe.adapter.r}"
    again = checkpointing_in_words(recipe)
    checkpointing = {"off": "no checkpointing", "every layer": "checkpointing"}.get(
        again, f"checkpointing {again}"
    )
    batch = f"{training.per_device_train_batch_size:,} × {length or recipe.data.max_length:,}"
    # (text, style, how soon it gives way)
    parts: list[tuple[str, str, int]] = [
        (printable(recipe.model.short_name), "bold", 2),
        (method, "bold", 0),
        (targets_in_words(recipe.adapter.target_modules) if recipe.adapter is not None else "", "", 7),
        (batch, "", 1),
        (plain_experts(recipe, found), "bold $text-warning", 3),
        (from_table(found), "$text-warning", 3),
        (checkpointing, "", 4),
        (training.optim, "", 5),
        (f"{training.loss} loss", "", 6),
    ]
    parts = [part for part in parts if part[0]]
    right = _right(found, state)
    room = width - (right.cell_length + 2 if right.cell_length else 0)
    while len(parts) > 1 and sum(len(text) + 2 for text, _, _ in parts) - 2 > room:
        parts.remove(max(parts, key=lambda part: part[2]))
    left = Content("  ").join([Content.styled(text, style) for text, style, _ in parts])
    left = left.truncate(max(room, 1), ellipsis=True)
    gap = max(0, width - left.cell_length - right.cell_length)
    return Content.assemble(left, " " * gap, right)


def plain_experts(recipe: Recipe, found: Answer | None) -> str:
    """That quantisation leaves experts out, where it does: it replaces nn.Linear only."""
    experts = 0 if found is None else found.estimate.parameters.kinds.get("experts", 0)
    quantised = recipe.adapter is not None and recipe.model.quantization != "none"
    return f"experts stay {recipe.model.dtype}" if experts and quantised else ""


def from_table(found: Answer | None) -> str:
    """That the model's config.json is not here, and its sizes are those that sftui knows of it."""
    return "no config.json: known sizes" if found and found.shape and found.shape.from_table else ""


def _right(found: Answer | None, state: str) -> Content:
    said = Content.styled(f"{state}  " if state and found is not None else state, MUTED)
    return said if found is None else Content.assemble(said, verdict(found))


def verdict(found: Answer) -> Content:
    """`fits: 9.7 of 24 GiB (RTX 4090)`; without a device, how to name one."""
    peak = found.estimate.peak_bytes
    if found.device is None or found.verdict is None:
        return Content.assemble(
            (f"~{brief(found.ram_bytes)}", "bold"), (" of RAM, no GPU here: d names one", MUTED)
        )
    sign, words, colour = VERDICTS[found.verdict]
    return Content.assemble(
        (f"{sign} {words}: ", f"bold $text-{colour}"),
        (f"{_of(peak)} of {brief(found.device.total_bytes)}", "bold"),
        (f" ({device_name(found.device)})", ""),
    )


def _of(size: int) -> str:
    """In GiB without the unit, which follows; small ones with their own."""
    return gib(size) if size >= 0.995 * GIB else brief(size)


# -- the bar


def peak_title(found: Answer, moment: str | None = None) -> str:
    """Of what the bar is."""
    from sftui.memory.moment_words import WHEN

    estimate = found.estimate
    if moment is None or moment == estimate.peak_moment:
        return f"peak {brief(estimate.peak_bytes)} {WHEN[estimate.peak_moment]}"
    at = brief(estimate.at(moment))  # type: ignore[arg-type]
    return f"{at} {WHEN[moment]}; peak {brief(estimate.peak_bytes)}"  # type: ignore[index]


def taken_words(found: Answer) -> str:
    """The least, the usual, what to be prepared for; without a GPU what the process takes of RAM."""
    if found.device is None:
        return f"takes about {brief(found.ram_bytes)} of RAM"
    band = found.band
    unit = unit_of(band.low)
    low, typical, high = (amount(size, unit) for size in (band.low, band.typical, band.high))
    return f"takes {low} to {high} {unit_name(unit)} of the GPU, typically {typical}"


def legend(
    parts: Mapping[str, int], band: Band | None, device: Device | None, width: int, lines: int
) -> Content:
    """Letter, name and bytes of what the bar shows, in at most so many lines; names give way first."""
    allocated = sum(parts.values())
    unit = unit_of(allocated)
    extra = []
    if band is not None:
        beside = max(band.high - allocated, 0)
        extra.append(("░", "reserved beside", f"≤ {amount(beside, unit)}", "high"))
    if device is not None and device.used_bytes:
        who = "used by others" if device.here else "driver"
        extra.insert(0, ("╱", who, amount(device.used_bytes, unit), "others"))
    for long in (len("dequantization"), 7, 4, 0):
        items = [(LETTERS[name], name[:long], amount(size, unit), name) for name, size in parts.items()]
        more = [(sign, name if long else "", size, style) for sign, name, size, style in extra]
        found = _wrapped([*items, *more], width)
        if len(found) <= lines:
            break
    return Content("\n").join(found[:lines])


def _wrapped(items: Sequence[tuple[str, str, str, str]], width: int) -> list[Content]:
    lines: list[list[Content]] = [[]]
    used = 0
    for sign, name, size, style in items:
        item = Content.assemble(
            (sign, f"bold {COLOURS[style]}"), (f" {name}".rstrip(), MUTED), (f" {size}", "")
        )
        if used and used + item.cell_length > width:
            lines.append([])
            used = 0
        lines[-1].append(item)
        used += item.cell_length + 2
    return [Content("  ").join(line) for line in lines]


# -- components


def parts_of(found: Answer, moment: str) -> dict[str, int]:
    """What there is in a moment, in the order of the table."""
    parts = found.estimate.moments[moment]  # type: ignore[index]
    return {name: size for name in LETTERS if (size := parts.get(name, 0))}  # type: ignore[call-overload]


def component_names(found: Answer) -> tuple[str, ...]:
    """The lines of the table: components that some moment has, their sum, the band."""
    moments = found.estimate.moments.values()
    names = [name for name in LETTERS if any(parts.get(name, 0) for parts in moments)]  # type: ignore[call-overload]
    return (*names, ALLOCATED, RESERVED)


def component_line(found: Answer, name: str, moment: str, width: int) -> Cells:
    """Letter, name, bytes and share of a component in a moment; below them the sum and the band.

    The share gives way where it is narrow; where it is wide a bar shows it.
    """
    estimate = found.estimate
    unit, whole = unit_of(estimate.peak_bytes), estimate.at(moment)  # type: ignore[arg-type]
    with_share = width >= NAME + 2 + AMOUNT + SHARE
    named = min(NAME, width - 2 - AMOUNT)
    if name == RESERVED and found.device is None:
        return [
            ("  of RAM".ljust(named + 2), "muted"),
            (f"{'~' + amount(found.ram_bytes, unit):>{AMOUNT}}", ""),
        ]
    if name == RESERVED:
        low, high = (amount(size, unit) for size in (found.band.low, found.band.high))
        dots = f"{low} to {high}" if with_share else f"≤ {high}"
        return [("  of the GPU".ljust(named + 2), "muted"), (f"{dots:>{AMOUNT}}", "")]
    size = whole if name == ALLOCATED else estimate.moments[moment].get(name, 0)  # type: ignore[index, call-overload]
    share = f"{size / whole:.0%}" if whole and with_share else ""
    figures = f"{amount(size, unit):>{AMOUNT}}" + (f"{share:>{SHARE}}" if with_share else "")
    if name == ALLOCATED:
        return [("  allocated".ljust(named + 2), "bold"), (figures, "bold")]
    cells: Cells = [
        (LETTERS[name], name + LETTER),
        (f" {name if len(name) < named else name[: named - 2] + '…':{named}}", ""),
        (figures, "" if size else "muted"),
    ]
    room = width - named - 2 - len(figures) - 2
    if room >= 4 and whole:
        cells += [("  ", ""), (GLYPHS[name] * round(size / whole * room), name)]
    return cells


def moment_line(found: Answer, moment: str, width: int) -> Cells:
    """A moment, its bar to the scale of the peak, its bytes; the peak's is marked."""
    from sftui.memory.moment_words import NAMES

    estimate = found.estimate
    unit = unit_of(estimate.peak_bytes)
    peak = moment == estimate.peak_moment
    figure = f"{amount(estimate.at(moment), unit):>{AMOUNT}}"  # type: ignore[arg-type]
    room = max(width - MOMENT - AMOUNT - 2, 4)
    cells = without_letters(stack(parts_of(found, moment), estimate.peak_bytes, room))
    used = sum(len(text) for text, _ in cells)
    return [
        (f"{NAMES[moment]:{MOMENT}}", "bold" if peak else ""),  # type: ignore[index]
        *cells,
        (" " * (room - used), ""),
        (figure, "bold" if peak else ""),
        (" ◂" if peak else "", "bold"),
    ]


def why_words(found: Answer, name: str, reasons: Mapping[str, Reason]) -> Content:
    """Where the size of a component comes from, and what would save most of it."""
    if name == RESERVED:
        return Content.styled(_why_band(found), MUTED)
    if name == ALLOCATED:
        kinds = found.estimate.parameters
        words = f"{kinds.total:,} parameters, {kinds.trainable:,} of them trained"
        return Content.styled(f"{words}\ncounted as torch.cuda.max_memory_allocated does", MUTED)
    reason = reasons.get(name)
    if reason is None:
        if found.shape is None or found.source == "simulation":
            return Content.styled("counted by a simulation of the trainer's step", MUTED)
        return Content.styled("none of it at the peak", MUTED)
    formula = Content(printable(reason.formula))
    if name == "weights" and (experts := plain_experts(found.recipe, found)):
        formula = Content.assemble(formula, (f"\n{experts}: quantisation leaves them out", "$text-warning"))
    if reason.remedy is None:
        return formula
    remedy = reason.remedy
    less = "" if remedy.saves == remedy.peak else f"{brief(remedy.saves)} less of it, "
    off = f"{brief(remedy.peak)} off the peak" if remedy.peak > 0 else "the peak stays"
    saved = f"\n{printable(remedy.text)}: {less}{off}"
    return Content.assemble(formula, (saved, "$text-accent"))


def _why_band(found: Answer) -> str:
    """What a run takes of the GPU beside what it allocates, and which runs say so."""
    from sftui.memory.band import CONTEXT

    band, peak = found.band, found.estimate.peak_bytes
    if found.device is None:
        beside = brief(found.ram_bytes - peak)
        return f"beside the tensors about {beside}: torch itself, and what passing ones leave to malloc"
    typical, most = brief(band.typical - peak), brief(band.high - peak)
    amounts = typical if typical == most else f"typically {typical}, at most {most}"
    beside = f"beside the peak {amounts}: CUDA's context and what the allocator holds without a tensor in it"
    if not band.runs:
        known = f"as in 121 published runs (fms-acceleration), and {brief(CONTEXT)} at least"
        return f"{beside}; {known}: none was measured on this GPU yet"
    context = "" if band.context is None else f", the context {brief(band.context)}"
    return f"{beside}; as measured in {counted(band.runs, 'run')} on this GPU{context}"


def all_reasons_in(room: tuple[int, int], found: Answer, reasons: Mapping[str, Reason]) -> Content | None:
    """Every component with its formula, where there is room (width, height) for all of them."""
    if not reasons or room[1] < 4 * len(reasons):
        return None
    words = all_reasons(found, reasons)
    lines = sum(max(1, -(-len(line) // max(room[0] - 4, 1))) for line in str(words).split("\n"))
    return words if lines <= room[1] else None


def all_reasons(found: Answer, reasons: Mapping[str, Reason]) -> Content:
    """Every component of the peak with its formula, largest first."""
    parts = found.estimate.components
    lines: list[Content] = []
    for name in sorted((name for name in parts if parts[name]), key=lambda name: -parts[name]):
        lines.append(
            Content.assemble(
                (f"{LETTERS[name]} {name}", f"bold {COLOURS[name]}"), (f"  {brief(parts[name])}\n", "bold")
            )
        )
        lines.append(Content.assemble(why_words(found, name, reasons), "\n\n"))
    where = "of RAM" if found.device is None else "of the GPU"
    lines.append(Content.assemble((f"{where}\n", "bold"), f"{taken_words(found)}\n"))
    lines.append(why_words(found, RESERVED, reasons))
    return Content("").join(lines)
