"""All that can be seen to be wrong with a recipe on this machine while it is being written."""

from __future__ import annotations

from sftui.checks.adapter import adapter_findings
from sftui.checks.device import device_findings
from sftui.checks.facts import facts_of
from sftui.checks.finding import Finding, gravest_first
from sftui.checks.memory import memory_findings, mended
from sftui.checks.model import model_findings
from sftui.checks.places import place_findings
from sftui.checks.schedule import schedule_findings
from sftui.devices import Machine
from sftui.memory.answer import Answer
from sftui.recipe import Recipe

__all__ = ["Finding", "check", "mended"]


def check(
    recipe: Recipe, machine: Machine, *, answer: Answer | None = None, steps: int | None = None
) -> tuple[Finding, ...]:
    """The findings in a recipe, the gravest first; a millisecond or two.

    No row is read and no network asked. `answer` is the estimate of the recipe's memory on its device,
    `steps` the optimizer steps of a run where the data is known. Paths are absolute, as `load_recipe` makes
    them.
    """
    facts = facts_of(recipe, machine, steps)
    return gravest_first(
        (
            *model_findings(facts),
            *device_findings(facts),
            *adapter_findings(facts),
            *place_findings(facts),
            *schedule_findings(facts),
            *(() if answer is None else memory_findings(answer)),
        )
    )
