"""What every section of the recipe is made of: the base of the sections, and what a field says of itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from sftui.errors import shorten
from sftui.recipe_step import Step
from sftui.words import typed

Meaning = Literal["text", "path", "model"]


@dataclass(frozen=True, slots=True)
class About:
    """What a practitioner asks of a field, beside its description (what it does).

    `when` says when to change it and which way, `usual` its usual value or range, `unit` what it counts,
    `step` how a spinner goes through its numbers. `meaning` of a text: whether it names a file or a model.
    Numbers beyond `most` are refused: nobody means them. It is far from all that is useful, so that no form
    or page speaks of it; a bound that people come near is the field's own.
    """

    when: str
    usual: str
    unit: str = ""
    step: Step | None = None
    meaning: Meaning = "text"
    most: float | None = None


class Section(BaseModel):
    """A part of the recipe: unknown keys are refused, assignments are validated."""

    model_config = ConfigDict(
        extra="forbid", validate_assignment=True, allow_inf_nan=False, protected_namespaces=()
    )

    @field_validator("*", mode="before")
    @classmethod
    def _can_be_meant(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse what nobody means.

        `learning_rate: true`, which would be read as 1, numbers beyond `About.most`, and paths that no file
        can have.
        """
        field = cls.model_fields[info.field_name or ""]
        kind = field.annotation
        if isinstance(value, bool) and kind in (int, float, int | None):
            number = "a number" if kind is float else "a whole number"
            raise ValueError(f"found {value}, expected {number}")
        about = next((item for item in field.metadata if isinstance(item, About)), None)
        if about is not None and about.most is not None and about.most < _finite(value):
            raise ValueError(f"found {shorten(typed(value))}, expected at most {about.most:,}")
        if isinstance(value, str) and "\0" in value:
            raise ValueError(f"found {value!r}, expected a text without NUL characters")
        return value


def _finite(value: Any) -> float:
    """The number that a value is read as; 0 for what is none, or not finite, which the type refuses."""
    try:
        number = float(value) if isinstance(value, int | float | str) else 0.0
    except ValueError:
        return 0.0
    except OverflowError:  # a whole number of more digits than a float has room for
        return math.inf
    return number if math.isfinite(number) else 0.0
