"""What the Recipe screen says, as text: pure functions of the recipe and its forecast."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from textual.content import Content

from sftui.printable import printable, printable_lines
from sftui.words import count, duration, share, size

from .memory_view import brief, device_name
from .recipe_rows import SIGNS, Row

if TYPE_CHECKING:
    from sftui.checks.finding import Finding
    from sftui.forecast import Forecast
    from sftui.memory.answer import Answer
    from sftui.recipe_document import Problem
    from sftui.recipe_fields import FieldInfo

Pane = Literal["form", "yaml", "difference"]
PANES: tuple[Pane, ...] = ("form", "yaml", "difference")
MUTED = "$foreground-muted"
# Cells of a name and of a value in the pane of what it means.
NAME, VALUE = 10, 18
COLOURS = {"error": "$text-error", "warning": "$text-warning", "info": MUTED}
VERDICTS = {
    "fits": ("✓ fits", "$text-success"),
    "tight": ("~ tight", "$text-warning"),
    "no": ("✗ does not fit", "$text-error"),
}

NO_RECIPE = Content.assemble(
    ("No recipe is open.\n\n", "bold"),
    ("Enter opens one of these; it says at once what a run of it comes to on this machine.", MUTED),
)


# -- what it comes to


def meaning(found: Forecast | None, state: str, width: int, *, old: bool, named: bool = True) -> Content:
    """A line each: memory, steps, tokens, time, disk, findings. `old`: of the recipe before.

    With `named` the gravest finding is told beside their number.
    """
    if found is None:
        return Content.styled(printable(state.split("\n", 1)[0]) or "looking at this machine…", MUTED)
    lines = [
        _memory(found, state),
        _line("steps", "" if found.steps is None else count(found.steps), *_steps_note(found)),
        _line("tokens", _approximate(found, found.tokens), *_tokens_note(found)),
        _line("time", _time(found), found.basis or _in_two(found.no_time or "", width - NAME), MUTED),
        _line("disk", "" if found.disk is None else size(found.disk.peak), "checkpoints and result", MUTED),
    ]
    return _with_findings(Content("\n").join(lines), findings_line(found, named=named), old=old)


def meaning_in_short(found: Forecast | None, state: str, width: int, *, old: bool) -> Content:
    """The numbers in one line, and the gravest finding or the counts in another."""
    if found is None:
        return Content.styled(printable(state.split("\n", 1)[0]) or "looking at this machine…", MUTED)
    memory = found.memory
    if memory is not None:
        sign, colour = VERDICTS.get(memory.verdict or "", ("", MUTED))
        parts = {"memory": Content.assemble(_held(memory), (f" {sign}" if sign else "", colour))}
    else:
        parts = {"memory": Content.styled("memory not known", MUTED)}
    if found.steps is not None:
        parts["steps"] = Content(f"{count(found.steps)} steps")
    if found.tokens is not None:
        parts["tokens"] = Content(f"{_approximate(found, found.tokens)} tokens")
    if found.trained_share is not None:
        parts["trained"] = Content(f"{share(found.trained_share)} trained")
    parts["time"] = Content(_time(found) or "time ?")
    for name in ("trained", "tokens", "time"):  # what gives way, whole, where it is narrow
        if sum(part.cell_length + 2 for part in parts.values()) - 2 > width:
            parts.pop(name, None)
    numbers = Content("  ").join(parts.values())
    return _with_findings(numbers, findings_line(found, label=False), old=old)


def _with_findings(numbers: Content, findings: Content, *, old: bool) -> Content:
    """Numbers of the recipe before are dim, and in the place of its findings stands why."""
    if not old:
        return Content.assemble(numbers, "\n", findings)
    return Content.assemble(numbers.stylize("dim"), "\n", ("✗ the text has a mistake", "$text-error"))


def _memory(found: Forecast, state: str) -> Content:
    memory = found.memory
    if memory is None:
        return _line("memory", "", printable(state.split("\n", 1)[0]) or "not known", MUTED)
    if memory.device is None:
        return _line("memory", _held(memory), "of RAM: no GPU here", MUTED)
    words, colour = VERDICTS.get(memory.verdict or "", ("", MUTED))
    head = _line("memory", _held(memory), "", MUTED)
    return Content.assemble(head, (words, colour), (f"  {device_name(memory.device)}", MUTED))


def _held(memory: Answer) -> str:
    """`9.7 of 24.0 GiB`, as on the Memory screen; without a GPU what the trainer takes of RAM."""
    peak = brief(memory.estimate.peak_bytes)
    if memory.device is None:
        return f"~{brief(memory.ram_bytes)}"
    room = brief(memory.device.total_bytes)
    value, unit = peak.rsplit(" ", 1)
    return f"{value if room.endswith(f' {unit}') else peak} of {room}"


def _line(name: str, value: str, note: str, colour: str) -> Content:
    """Without a value the note has its room."""
    cells = f"{value:{VALUE}} " if value else ""
    return Content.assemble((f"{name:{NAME}}", MUTED), cells, (note, colour))


def _in_two(words: str, width: int) -> str:
    """Words in one line or two, the second below the first."""
    if len(words) <= width:
        return words
    at = words.rfind(" ", 0, width)
    return f"{words[:at]}\n{'':{NAME}}{words[at + 1 :]}" if at > 0 else words


def _steps_note(found: Forecast) -> tuple[str, str]:
    if found.steps is None:
        return "no sequence is left" if found.exact else "the data is not known yet", MUTED
    return ("" if found.sequences is None else f"{count(found.sequences)} sequences in all", MUTED)


def _tokens_note(found: Forecast) -> tuple[str, str]:
    if found.trained_share is None:
        return "", MUTED
    return f"{share(found.trained_share)} trained", MUTED


def _approximate(found: Forecast, value: int | None) -> str:
    if value is None:
        return ""
    return count(value) if found.exact else f"about {count(value)}"


def _time(found: Forecast) -> str:
    if found.seconds is None:
        return ""
    fast, slow = map(duration, found.seconds)
    if fast == slow:
        return fast
    begin, unit = fast.rsplit(" ", 1)
    same_unit = " " not in begin and slow.count(" ") == 1 and slow.endswith(f" {unit}")
    return f"{begin if same_unit else fast} to {slow}"


def findings_line(found: Forecast, *, label: bool = True, named: bool = True) -> Content:
    """How many of each severity, and with `named` the gravest; without one how many rows were looked at."""
    head = (f"{'findings':{NAME}}", MUTED) if label else ("", MUTED)
    findings = found.findings
    if not findings and found.looking is None:
        return Content.assemble(head, ("✓ ", "$text-success"), ("nothing found", MUTED))
    parts: list[Content | tuple[str, str]] = [head]
    for severity, (sign, _) in SIGNS.items():
        number = sum(finding.severity == severity for finding in findings)
        if number:
            parts.append((f"{sign} {number}  ", COLOURS[severity]))
    if found.looking is not None and not (named and findings):
        parts.append((_looking(*found.looking), MUTED))
    if named and findings:
        first = findings[0]
        parts.append((printable(f"{first.key.rpartition('.')[2]}: {first.message}"), MUTED))
    return Content.assemble(*parts)


def _looking(looked: int, rows: int) -> str:
    return f"{looked:,} of {rows:,} rows looked at" if rows else "no row looked at yet"


# -- the field under the cursor


def field_words(
    row: Row | None, problems: Iterable[Problem], findings: Iterable[Finding], *, default: str
) -> Content:
    """What is wrong there, what it is, when to change it, its usual value, default and bounds."""
    if row is None:
        return Content.styled("no field is left: Esc shows all of them", MUTED)
    parts = [Content.styled(f"✗ {printable_lines(one.message)}", "$text-error") for one in problems]
    for finding in findings:
        sign, _ = SIGNS[finding.severity]
        text = Content.styled(f"{sign} {printable_lines(finding.message)}", COLOURS[finding.severity])
        if finding.hint is not None:
            key = "  f does that" if finding.values else ""
            text = Content.assemble(text, "\n  ", printable_lines(finding.hint), (key, "$text-accent"))
        parts.append(text)
    parts.append(_about(row, default))
    return Content("\n").join(parts)


def _about(row: Row, default: str) -> Content:
    if row.kind == "section" and row.section is not None:
        words = printable(row.section.about)
        if row.section.optional:
            other = "makes it" if row.value is None else "makes it null"
            words += f"\nEnter or → {other}."
        return Content(words)
    field = row.field
    if field is None:
        return Content("")
    if row.kind == "add":
        return Content.assemble(f"Enter adds to {field.what}: a path is typed.\n", (field.when, MUTED))
    return Content.assemble(
        f"{field.what}\n",
        ("default  ", MUTED),
        f"{'none: it is required' if field.required else default}",
        (f"   {bounds(field)}" if bounds(field) else "", MUTED),
        ("\nusual    ", MUTED),
        field.usual,
        (f"\n{field.when}" if field.when else "", MUTED),
    )


def bounds(field: FieldInfo) -> str:
    """What values the field may have: `1 to 4096`, `above 0`, or its choices."""
    if field.choices:
        return " | ".join(field.choices)
    low, high = field.minimum, field.maximum
    if low is not None and high is not None and not field.above_minimum and not field.below_maximum:
        words = [f"{_plain(low)} to {_plain(high)}"]
    else:
        words = []
        if low is not None:
            words.append(f"{'above' if field.above_minimum else 'at least'} {_plain(low)}")
        if high is not None:
            words.append(f"{'below' if field.below_maximum else 'at most'} {_plain(high)}")
    if field.optional:
        words.append("or null")
    return " ".join(words)


def _plain(value: float) -> str:
    """A whole number to its last digit."""
    return f"{value:.0f}" if value == round(value) else f"{value:g}"


def typing_words(
    field: FieldInfo, problem: str | None, offered: Sequence[str], typed: str, *, before: str
) -> Content:
    """While a value is typed: what is wrong with it and what holds meanwhile, what it can be completed to."""
    parts: list[Content] = []
    if problem is not None:
        words = Content.styled(f"✗ {printable_lines(problem)}", "$text-error")
        holds = f"; {field.name} stays {printable(before)}" if before else ""
        parts.append(Content.assemble(words, (holds, MUTED)))
    if offered:
        shown = [printable(each) for each in offered if each != typed]
        if shown:
            parts.append(Content.assemble(("Tab  ", "$text-accent"), ("   ".join(shown), MUTED)))
    parts.append(Content(field.what))
    parts.append(Content.assemble(("usual    ", MUTED), field.usual))
    if bounds(field):
        parts.append(Content.assemble(("bounds   ", MUTED), bounds(field)))
    return Content("\n").join(parts)


def problem_lines(problems: Sequence[Problem]) -> Content:
    """The problems of a text, each with its line."""
    if not problems:
        return Content.assemble(("✓ ", "$text-success"), ("the text is a recipe", MUTED))
    lines = []
    for one in problems:
        place = f"line {one.line}: " if one.line is not None else ""
        key = f"{one.key}: " if one.key else ""
        lines.append(Content.styled(f"✗ {place}{printable_lines(key + one.message)}", "$text-error"))
    return Content("\n").join(lines)


def base_name(name: str) -> str:
    """A file without its folders."""
    return printable(name.rstrip("/").rpartition("/")[2] or name)
