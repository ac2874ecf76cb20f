"""What every section of the recipe is made of: the base of the sections, and what a field says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from sftui.recipe_step import Step

Meaning = Literal["text", "path", "model"]


@dataclass(frozen=True, slots=True)
class About:
    """What a practitioner asks of a field, beside its description (what it does).

    `when` says when to change it and which way, `usual` its usual value or range, `unit` what it counts,
    `step` how a spinner goes through its numbers. `meaning` of a text: whether it names a file or a model.
    """

    when: str
    usual: str
    unit: str = ""
    step: Step | None = None
    meaning: Meaning = "text"


class Section(BaseModel):
    """A part of the recipe: unknown keys are refused, assignments are validated."""

    model_config = ConfigDict(
        extra="forbid", validate_assignment=True, allow_inf_nan=False, protected_namespaces=()
    )

    @field_validator("*", mode="before")
    @classmethod
    def _can_be_meant(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse `learning_rate: true`, which would be read as 1, and paths that no file can have."""
        kind = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and kind in (int, float, int | None):
            number = "a number" if kind is float else "a whole number"
            raise ValueError(f"found {value}, expected {number}")
        if isinstance(value, str) and "\0" in value:
            raise ValueError(f"found {value!r}, expected a text without NUL characters")
        return value
