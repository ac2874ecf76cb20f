"""Every field of the typed recipe as data: widget, help, bounds and default, made from the model alone."""

from __future__ import annotations

import difflib
import math
import re
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import fields as pydantic_fields

from sftui.errors import InputError
from sftui.recipe import Recipe, Section, Source
from sftui.recipe_section import About
from sftui.recipe_step import Decades, Multiples, Step, Values, following

Kind = Literal["choice", "switch", "integer", "number", "text", "path", "model", "list", "sources", "mapping"]
NUMBERS: tuple[Kind, ...] = ("integer", "number")

_BOUNDS = ("ge", "gt", "le", "lt", "min_length")
_FAR = 3  # steps at once, where double and half are not meant: a decade of 1, 2, 5


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """A field: `key` is its dotted key, `section` the part of the recipe it stands in ("" for the top).

    `kind` names the widget; a "list" that may also be one text has `or_text`. `minimum` and `maximum` are
    themselves allowed unless `above_minimum` and `below_maximum` say otherwise; `min_length` counts items
    or characters. `default` is None for a `required` field too; lists and mappings are never changed in
    place. What a person asks: `what` it does, `when` to change it, its `usual` value, its `unit`.
    """

    key: str
    section: str
    name: str
    kind: Kind
    required: bool
    default: Any
    optional: bool  # null is a value
    or_text: bool
    choices: tuple[str, ...]
    minimum: float | None
    above_minimum: bool
    maximum: float | None
    below_maximum: bool
    min_length: int
    what: str
    when: str
    usual: str
    unit: str
    step: Step | None  # of numbers only
    most: float | None  # beyond it numbers are refused, which nobody means

    def allows(self, value: float) -> bool:
        """Whether a number is within the bounds."""
        low, high = self.minimum, self.maximum
        above = low is None or (value > low if self.above_minimum else value >= low)
        if self.most is not None and value > self.most:
            return False
        return above and (high is None or (value < high if self.below_maximum else value <= high))


@dataclass(frozen=True, slots=True)
class SectionInfo:
    """A part of the recipe with its fields: `key` is "" for the top; one that is `optional` may be null."""

    key: str
    about: str
    optional: bool
    fields: tuple[FieldInfo, ...]


def source_fields(key: str = "data.train", index: int = 0) -> tuple[FieldInfo, ...]:
    """The fields of one source in a list of sources, under their dotted keys: `data.train.0.limit`."""
    return _fields_of(Source, f"{key}.{index}", key.partition(".")[0])


def field_at(key: str) -> FieldInfo:
    """The field of a dotted key, one of a source (`data.train.0.limit`) too. InputError if there is none."""
    source = re.fullmatch(r"(data\.(?:train|eval))\.([0-9]{1,9})\.\w+", key)
    known = source_fields(source[1], int(source[2])) if source else FIELDS
    for field in known:
        if field.key == key:
            return field
    near = difflib.get_close_matches(key, [field.key for field in known], n=1)
    raise InputError("no such field", key=key, hint=f"did you mean {near[0]}?" if near else None)


def search(text: str, among: Iterable[FieldInfo] | None = None) -> list[FieldInfo]:
    """Fields with all words of `text` in their name or help, best first: the name itself, parts of it, help.

    Where none has them, those whose names look alike. A text without words finds nothing.
    """
    among = FIELDS if among is None else tuple(among)
    words = text.lower().replace("_", " ").replace(".", " ").split()
    if not words:
        return []
    scored = [(min(_score(word, field) for word in words), field) for field in among]
    wanted = "_".join(words)
    found = [(score + 10 * (field.name.lower() == wanted), field) for score, field in scored if score]
    if found:
        return [field for _, field in sorted(found, key=lambda pair: -pair[0])]
    names = {field.name for field in among}
    near = difflib.get_close_matches(wanted, names, n=5, cutoff=0.6)
    return sorted((field for field in among if field.name in near), key=lambda field: near.index(field.name))


def _score(word: str, field: FieldInfo) -> int:
    """How well a word says a field: 6 its name, down to 1 somewhere in its help, 0 not at all."""
    name, words = field.name.lower(), field.name.lower().split("_")
    if word in (name, *words, "".join(part[:1] for part in words)):  # lr is learning_rate
        return 6 if word == name else 5
    if any(part.startswith(word) for part in words):
        return 4
    if word in name or word == field.section:
        return 3
    if word in field.choices:
        return 3
    if re.search(rf"\b{re.escape(word)}", field.what.lower()):
        return 2
    rest = " ".join((field.what, field.when, field.usual, field.unit, *field.choices)).lower()
    return 1 if word in rest else 0


def changed(recipe: Recipe, base: Path | None = None) -> tuple[str, ...]:
    """Keys whose values differ from the defaults, in the order of FIELDS; a missing section by its own key.

    Fields without a default always do. `base` is the folder that paths of the recipe were made absolute by:
    `output_dir` is then compared with the default there.
    """
    keys = []
    for section in SECTIONS:
        values = getattr(recipe, section.key) if section.key else recipe
        if values is None:
            keys.append(section.key)
            continue
        for field in section.fields:
            default = field.default
            if base is not None and field.kind == "path" and isinstance(default, str):
                default = str(base / default)
            if field.required or getattr(values, field.name) != default:
                keys.append(field.key)
    return tuple(keys)


def neighbour(field: FieldInfo, value: Any, steps: int, *, far: bool = False) -> Any:
    """The value `steps` further up, or down if negative, by the field's step and within its bounds.

    Choices go round, switches flip. `far` doubles or halves a number that goes in equal steps, and takes
    others three steps at once. Null lies below the smallest number of a field that may be null. A value that
    has no neighbours (a text, a list) is given back.
    """
    if field.kind == "choice":
        at = field.choices.index(value) if value in field.choices else 0
        return field.choices[(at + steps) % len(field.choices)]
    if field.kind == "switch":
        return bool(value) != bool(steps % 2)
    if field.kind in NUMBERS and (value is None or isinstance(value, int | float)):
        for _ in range(abs(steps)):
            value = _next_number(field, value, 1 if steps > 0 else -1, far)
    return value


def _next_number(field: FieldInfo, value: float | None, direction: int, far: bool) -> float | None:
    if value is None:
        return field.minimum if direction > 0 else None
    for _ in range(_FAR if far and not isinstance(field.step, Multiples) else 1):
        new = _beyond(field, value, direction, far)
        if new is None:
            return _at_bound(field, value, direction)
        value = new
    return value


def _beyond(field: FieldInfo, value: float, direction: int, far: bool) -> float | None:
    """The next number of the field's step; None where that is not one the field may hold."""
    step, whole = field.step, field.kind == "integer"
    if step is None:
        return None
    if far and isinstance(step, Multiples) and value > 0:
        new: float | None = value * 2 if direction > 0 else value // 2 if whole else value / 2
    else:
        new = following(step, value, direction)
    # Very large numbers have no next one that can be told from them.
    if new is None or abs(new) == math.inf or not field.allows(new) or (new - value) * direction <= 0:
        return None
    return (int(new) if new == int(new) else None) if whole else new


def _at_bound(field: FieldInfo, value: float, direction: int) -> float | None:
    """The bound in that direction; past the smallest number null, where null is a value; else `value`."""
    if isinstance(field.step, Values):
        return value
    high = field.most if field.maximum is None else field.maximum
    bound, outside = (high, field.below_maximum) if direction > 0 else (field.minimum, field.above_minimum)
    if direction < 0 and field.optional and value == bound:
        return None
    if bound is None or outside:
        return value
    return int(bound) if field.kind == "integer" else float(bound)


# -- from the typed model


def _fields_of(model: type[Section], prefix: str, section: str) -> tuple[FieldInfo, ...]:
    """The fields of a section that hold values, in their order."""
    return tuple(
        _field(f"{prefix}.{name}" if prefix else name, section, name, field)
        for name, field in model.model_fields.items()
        if _section_in(field.annotation) is None
    )


def _field(key: str, section: str, name: str, field: pydantic_fields.FieldInfo) -> FieldInfo:
    about = next((item for item in field.metadata if isinstance(item, About)), About("", ""))
    members = _members(field.annotation)
    plain = [member for member in members if member is not type(None)]
    kind = _kind(key, plain, about)
    bounds = {name: getattr(item, name) for item in field.metadata for name in _BOUNDS if hasattr(item, name)}
    minimum, maximum = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    step = about.step
    if kind not in NUMBERS:
        step = None
    elif step is None:
        step = Multiples(1) if kind == "integer" else Multiples(0.01) if maximum == 1 else Decades()
    default = field.get_default(call_default_factory=True, validated_data={})
    if kind == "number" and isinstance(default, int):
        default = float(default)
    return FieldInfo(
        key=key,
        section=section,
        name=name,
        kind=kind,
        required=field.is_required(),
        default=None if field.is_required() else default,
        optional=len(plain) < len(members),
        or_text=kind == "list" and str in plain,
        choices=get_args(plain[0]) if kind == "choice" else (),
        minimum=minimum,
        above_minimum="gt" in bounds,
        maximum=maximum,
        below_maximum="lt" in bounds,
        min_length=bounds.get("min_length", 0),
        what=field.description or "",
        when=about.when,
        usual=about.usual,
        unit=about.unit,
        step=step,
        most=about.most,
    )


def _kind(key: str, members: list[Any], about: About) -> Kind:
    """The widget of a field that may hold one of several types."""
    origins = [get_origin(member) or member for member in members]
    if list in origins:
        (items,) = get_args(members[origins.index(list)])
        return "sources" if items is Source else "list"
    if str in origins:
        return about.meaning
    kinds: Mapping[Any, Kind] = {
        Literal: "choice",
        bool: "switch",
        int: "integer",
        float: "number",
        dict: "mapping",
    }
    if origins[0] not in kinds:
        raise TypeError(f"{key}: no widget holds {members[0]}")
    return kinds[origins[0]]


def _members(annotation: Any) -> tuple[Any, ...]:
    """The types that a field may hold: those of a union, else the one."""
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _section_in(annotation: Any) -> type[Section] | None:
    """The section that a field of the recipe is, where it is one."""
    for member in _members(annotation):
        if isinstance(member, type) and issubclass(member, Section):
            return member
    return None


def _sections() -> tuple[SectionInfo, ...]:
    """The sections in their order, then what stands at the top of the recipe."""
    found = []
    for name, field in Recipe.model_fields.items():
        section = _section_in(field.annotation)
        if section is not None:
            optional = type(None) in _members(field.annotation)
            found.append(SectionInfo(name, _words_of(section), optional, _fields_of(section, name, name)))
    return (*found, SectionInfo("", _words_of(Recipe), False, _fields_of(Recipe, "", "")))


def _words_of(section: type[Section]) -> str:
    return (section.__doc__ or "").strip()


SECTIONS = _sections()
FIELDS: tuple[FieldInfo, ...] = tuple(field for section in SECTIONS for field in section.fields)
