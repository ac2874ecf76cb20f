"""What is known of a step beside its recipe: how long the data is, and what the device can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sftui.memory.shape import ModelShape
from sftui.memory.step import StepSpec, step_of
from sftui.recipe import Recipe

if TYPE_CHECKING:
    from sftui.data.overview import Overview


@dataclass(frozen=True, slots=True)
class Known:
    """Tokens of the longest sequence that is trained on and of the longest held out; CUDA's capability.

    None where it is not known: rows are as long as `data.max_length` then. Rows that `data.eval_fraction`
    holds out are of the same sources: without a number of their own, `longest` is theirs too.
    """

    longest: int | None = None
    longest_held_out: int | None = None
    capability: tuple[int, int] | None = None

    @classmethod
    def of(cls, recipe: Recipe, train: Overview | None, held_out: Overview | None) -> Known:
        """What the rows of a recipe tell, once all of a side are analysed; `held_out` is of `data.eval`."""
        longest = None if train is None else train.longest_kept(recipe.data)
        return cls(longest, None if held_out is None else held_out.longest_kept(recipe.data))

    def held_out(self, recipe: Recipe) -> int | None:
        """Tokens of the longest sequence that is held out."""
        return self.longest_held_out or (None if recipe.data.eval else self.longest)

    def step(self, recipe: Recipe, shape: ModelShape) -> StepSpec:
        """The recipe's step."""
        return step_of(
            recipe,
            shape,
            length=self.longest,
            evaluation_length=self.held_out(recipe),
            capability=self.capability,
        )


NOTHING = Known()
