"""Any value that a field of the recipe may hold by itself."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from sftui.recipe_fields import FieldInfo, source_fields

AWKWARD = [
    "null",
    "~",
    "true",
    "2e-4",
    "a, b",
    "a: b",
    '"',
    '"a"',
    "[a]",
    "{a: b}",
    "[",
    " x ",
    "\n",
    "é\u2028",
]
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
TEXTS = TEXT | st.sampled_from(AWKWARD)


def values_of(field: FieldInfo) -> st.SearchStrategy[Any]:
    """Within its bounds, with null where that is a value."""
    texts = TEXTS.filter(lambda one: len(one) >= field.min_length)
    found: st.SearchStrategy[Any]
    if field.kind == "choice":
        found = st.sampled_from(field.choices)
    elif field.kind == "switch":
        found = st.booleans()
    elif field.kind == "integer":
        low, high = field.minimum, field.most if field.maximum is None else field.maximum
        found = st.integers(
            int(low) if low is not None else None, 10**12 if high is None else int(high) - field.below_maximum
        ).filter(lambda one: one != 0 or field.name != "max_steps")
    elif field.kind == "number":
        found = st.floats(
            field.minimum,
            field.most if field.maximum is None else field.maximum,
            exclude_min=field.above_minimum,
            exclude_max=field.below_maximum,
            allow_nan=False,
            allow_infinity=False,
        )
    elif field.kind == "list":
        found = st.lists(TEXTS, min_size=field.min_length, max_size=3)
        if field.or_text:
            found |= texts
    elif field.kind == "mapping":
        found = st.dictionaries(TEXTS, TEXTS, max_size=3)
    elif field.kind == "sources":
        found = st.lists(sources(), min_size=field.min_length, max_size=3)
    else:
        found = texts
    return st.none() | found if field.optional else found


def sources() -> st.SearchStrategy[dict[str, Any]]:
    """A source as the recipe's file holds it."""
    fields = {field.name: values_of(field) for field in source_fields()}
    return st.fixed_dictionaries({"path": fields.pop("path")}, optional=fields)
