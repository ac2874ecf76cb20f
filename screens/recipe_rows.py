"""The lines of the recipe's form: sections, fields and sources, made from the typed model. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sftui.printable import printable

if TYPE_CHECKING:
    from sftui.recipe_fields import FieldInfo, SectionInfo

    from .open_recipe import OpenRecipe

# Cells of a field's name.
NAME = 30
NO_SECTION = "null"

Sign = Literal["error", "warning", "info"]
SIGNS: dict[str, tuple[str, str]] = {
    "error": ("✗", "error"),
    "warning": ("~", "warning"),
    "info": ("i", "muted"),
}
"""A sign and the style of each severity."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the form: `value` is what is written, be it wrong, else the default.

    `source` is the key of the source that a line opens with. `changed`: other than in the file.
    """

    kind: Literal["section", "field", "source", "add", "heading"]
    key: str
    name: str
    field: FieldInfo | None = None
    section: SectionInfo | None = None
    value: Any = None
    is_default: bool = True
    changed: bool = False
    folded: bool = False

    @property
    def source(self) -> str:
        """The key of the source: `data.train.0` of `data.train.0.path`."""
        return self.key.rpartition(".")[0]


def rows_of(
    made: OpenRecipe,
    *,
    unfolded: Collection[str] = (),
    only_changed: bool = False,
    wanted: Collection[str] | None = None,
) -> tuple[Row, ...]:
    """The lines; `unfolded` are keys of sources, `wanted` the keys that a search leaves.

    `only_changed` leaves what differs from the defaults.
    """
    from sftui.recipe_fields import SECTIONS

    found: list[Row] = []
    for section in SECTIONS:
        lines = [
            row
            for row in _of_section(made, section, {*unfolded, *(wanted or ())})
            if _is_shown(row, only_changed, wanted)
        ]
        head = _head(made, section)
        here = wanted is None or section.key in wanted
        if lines or (here and head.kind == "section" and section.optional and not head.is_default):
            found += [head, *lines]
    return tuple(found)


def _head(made: OpenRecipe, section: SectionInfo) -> Row:
    value = made.value(section.key) if section.optional else {}
    return Row(
        "section",
        section.key,
        section.key or "recipe",
        section=section,
        value=value,
        is_default=value is not None,
        changed=section.optional and (made.read.value(section.key) is None) != (value is None),
    )


def _of_section(made: OpenRecipe, section: SectionInfo, unfolded: Collection[str]) -> list[Row]:
    if section.optional and made.value(section.key) is None:
        return []
    found: list[Row] = []
    for field in section.fields:
        if field.kind == "sources":
            found += _sources(made, field, unfolded)
        else:
            found.append(_field(made, field))
    return found


def _sources(made: OpenRecipe, field: FieldInfo, unfolded: Collection[str]) -> Iterator[Row]:
    from sftui.recipe_fields import source_fields

    value = made.value(field.key)
    sources = value if isinstance(value, list) else []
    for index in range(len(sources)):
        first, *rest = source_fields(field.key, index)
        key = f"{field.key}.{index}"
        row = _field(made, first)
        name = f"{field.name} {index + 1}" if len(sources) > 1 else field.name
        yield Row(
            "source",
            row.key,
            name,
            field=first,
            value=row.value,
            is_default=False,
            changed=row.changed,
            folded=key not in unfolded,
        )
        for other in rest:
            line = _field(made, other, indent="  ")
            if key in unfolded or not line.is_default:
                yield line
    if value is not None and not isinstance(value, list):
        yield _field(made, field)  # it says something that is no list
    yield Row("add", field.key, f"{field.name} +", field=field, is_default=True)


def _field(made: OpenRecipe, field: FieldInfo, indent: str = "") -> Row:
    value = made.value(field.key)
    default = not field.required and value == field.default and type(value) is not bool
    default = default or (isinstance(value, bool) and value is field.default)
    return Row(
        "field",
        field.key,
        indent + field.name,
        field=field,
        value=value,
        is_default=default,
        changed=_differs(made, field.key, value),
    )


def _differs(made: OpenRecipe, key: str, value: Any) -> bool:
    """Whether the file says something else."""
    return bool(made.saved is not None and made.read.value(key) != value)


def _is_shown(row: Row, only_changed: bool, wanted: Collection[str] | None) -> bool:
    if wanted is not None and (row.kind == "add" or row.key not in wanted):
        return row.kind == "source" and row.source.rpartition(".")[0] in wanted
    return not only_changed or not row.is_default or row.changed


def shown_value(row: Row) -> str:
    """The value as it is typed."""
    from sftui.recipe_values import format_value

    if row.kind == "section" or row.field is None:
        return NO_SECTION if row.value is None and row.section is not None and row.section.optional else ""
    if row.field.required and row.value is None:
        return ""
    try:
        return printable(format_value(row.field, row.value))
    except (TypeError, ValueError, AttributeError, KeyError):  # not what the field holds
        return printable(str(row.value))


def row_line(
    row: Row, text: str, width: int, *, here: bool, sign: str | None, base: str = ""
) -> list[tuple[str, str]]:
    """A line: a sign, the name, the value between arrows where the cursor is, its unit.

    `text` is `shown_value`; of a path within the folder `base` the end is shown.
    """
    if row.kind in ("section", "heading"):
        return _section_line(row, text, width, here, sign)
    mark, style = SIGNS[sign] if sign is not None else ("•" if row.changed else " ", "accent")
    cells = [(mark, style), (f" {row.name:{NAME}}"[: NAME + 1], "muted" if row.kind == "add" else "")]
    if row.kind == "add":
        return [*cells, ("  add a source" if here else "", "muted")]
    field = row.field
    unit = f" {field.unit}" if field is not None and field.unit else ""
    if row.kind == "source":
        unit = " ▸" if row.folded else " ▾"
    room = width - NAME - 6
    if len(text) + len(unit) > room:
        unit = "" if row.kind != "source" else unit
        keep = max(1, room - len(unit))
        if len(text) > keep:
            text = f"…{text[len(text) - keep + 1 :]}" if _is_path(row) else f"{text[: keep - 1]}…"
    left, right = ("‹ ", " ›") if here else ("  ", "  ")
    colour = "accent" if row.changed else "muted" if row.is_default else ""
    return [*cells, (left, "muted"), (text, colour), (right, "muted"), (unit, "muted")]


def _section_line(row: Row, text: str, width: int, here: bool, sign: str | None) -> list[tuple[str, str]]:
    mark, style = SIGNS[sign] if sign is not None else ("•" if row.changed else " ", "accent")
    cells = [(mark, style), (f" {row.name} ", "bold")]
    if text:
        value = f"‹ {text} › " if here else f"{text} "
        cells.append((value, "accent" if row.changed else ""))
    used = sum(len(part) for part, _ in cells)
    return [*cells, ("─" * max(0, width - used), "faint")]


def _is_path(row: Row) -> bool:
    return row.field is not None and row.field.kind in ("path", "model")


def signs_of(findings: Mapping[str, str], rows: Collection[Row]) -> dict[int, str]:
    """The lines beside which something is said, with its severity; of a hidden field, its section's.

    `findings` are severities by dotted key.
    """
    order = list(SIGNS)
    found: dict[int, str] = {}
    for key, severity in findings.items():
        place = place_of(key, rows)
        if place is not None and (place not in found or order.index(severity) < order.index(found[place])):
            found[place] = severity
    return found


def place_of(key: str, rows: Collection[Row]) -> int | None:
    """The line of a key, else of the nearest above it; None where none is shown."""
    listed = list(rows)
    while True:
        for wanted in (key, f"{key}.0.path"):
            for place, row in enumerate(listed):
                if row.key == wanted and row.kind not in ("add", "heading"):
                    return place
        if not key:
            return 0 if listed else None
        key = key.rpartition(".")[0]
