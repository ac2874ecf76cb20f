"""What is tried on the Memory screen and what that takes: the closed form's answer, or the simulation's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sftui.errors import InputError

from . import memory_trial
from .memory_facts import SIMULATE_SECONDS, Facts
from .memory_fields import Field
from .memory_lengths import Lengths
from .memory_trial import Trial
from .memory_view import brief

if TYPE_CHECKING:
    from sftui.memory.answer import Answer
    from sftui.memory.device import Device
    from sftui.memory.shape import ModelShape
    from sftui.memory.why import Reason
    from sftui.recipe import Recipe

    from .app import Workbench

# By how much the simulation must differ from the closed form to be shown in its place.
DIFFERS = 0.01


class Answers:
    """Belongs to the event loop. `trial` is None without a recipe, `found` while there is no answer to it.

    `verifying`: the simulation is asked, for a known model too.
    """

    def __init__(self, app: Workbench, facts: Facts) -> None:
        self.trial: Trial | None = None
        self.found: Answer | None = None
        self.verifying = False
        self._app, self._facts = app, facts
        self._asked_lengths = Lengths()
        self._off: float | None = None
        self._refused: str | None = None
        self._reasons: tuple[Answer, object, dict[str, Reason]] | None = None

    def adopt(self, recipe: Recipe, *, again: bool = False) -> None:
        """The open recipe may be another: what is tried is tried of it. `again`: look for its model again."""
        trial = self.trial
        if trial is None:
            self.trial = memory_trial.trial_of(recipe)
        elif recipe is not trial.base:
            self.trial = memory_trial.rebased(trial, recipe)
        self._facts.want_shape(recipe, again=again)

    def attempt(self, recipe: Recipe) -> None:
        """Another recipe is tried."""
        if self.trial is not None:
            self.trial = replace(self.trial, recipe=recipe)
            self.verifying = False
            if self.shape is not None:
                self._facts.drop_simulation()

    # -- what it depends on

    @property
    def shape(self) -> ModelShape | None:
        """The model's, where the closed form knows it."""
        shape = self._facts.shape
        return None if shape is None or hasattr(shape, "why") else shape

    @property
    def device(self) -> Device | None:
        """The GPU that was chosen, as it is now, else the one that a run takes."""
        machine, chosen = self._facts.machine, self._app.memory_device
        if chosen is not None:
            here = machine.devices if machine is not None else ()
            return next((one for one in here if chosen.here and one.uuid == chosen.uuid), chosen)
        if machine is None or self.trial is None:
            return None
        from sftui.devices import device_for

        return device_for(self.trial.recipe, machine)

    @property
    def longest(self) -> int | None:
        """Tokens of the longest sequence that is trained on, once all rows are analysed."""
        return self.lengths.longest

    @property
    def lengths(self) -> Lengths:
        """How long the data is, as far as all rows of a side are analysed."""
        return Lengths() if self.trial is None else self._lengths_of(self.trial.recipe)

    def _lengths_of(self, recipe: Recipe) -> Lengths:
        desk = self._app.dataset.desk
        if desk is None:
            return Lengths()
        from sftui.memory.known import Known

        held_out = desk.overview("eval") if "eval" in desk.sides else None
        known = Known.of(recipe, desk.overview("train"), held_out)
        return Lengths(known.longest, known.longest_held_out)

    @property
    def is_old(self) -> bool:
        """Whether more is known of the data than when it was answered."""
        return self.found is not None and self.lengths != self._asked_lengths

    # -- answers

    def renew(self) -> None:
        """Answer anew, and ask for what is not known."""
        self._asked_lengths = self.lengths
        self._facts.want_history(self.device)
        self.found, self._off = self._answer()
        if self.found is not None:
            self._facts.want_comparison(self.found, self.lengths)
        known = self._facts.shape is not None and self._facts.problem is None
        if self.trial is not None and known and (self.shape is None or self.verifying):
            wait = 0.0 if self.verifying else SIMULATE_SECONDS
            self._facts.want_simulation(self.trial.recipe, self.lengths, wait=wait)

    @property
    def failed(self) -> bool:
        """Whether the recipe is refused, or the simulation failed and nothing else has an answer."""
        return self.found is None and self.problem is not None

    @property
    def problem(self) -> str | None:
        """Why there is no answer: what is wrong with the recipe, else why it cannot be simulated."""
        return self._refused or self._facts.simulation_problem

    def verify(self) -> None:
        """Let the trainer's step be simulated, again where that failed; end that where it is under way."""
        self.verifying = not self._facts.simulating
        if not self.verifying or self._facts.simulation_problem is not None:
            self._facts.drop_simulation()

    def _answer(self) -> tuple[Answer | None, float | None]:
        """The closed form's, or the simulation's where they differ; and by how much they do."""
        trial, shape, self._refused = self.trial, self.shape, None
        if trial is None or self._facts.shape is None:
            return None, None
        if shape is not None and trial.layers != len(shape.layers):
            self.trial = trial = replace(trial, layers=len(shape.layers))
        try:
            closed = self._closed(trial.recipe)
        except InputError as error:
            self._refused = str(error)
            return None, None
        simulated = self._facts.simulation(trial.recipe, self.device, self.lengths)
        if simulated is None or closed is None:
            return closed or simulated, None
        off = simulated.estimate.peak_bytes / closed.estimate.peak_bytes - 1
        return (simulated if abs(off) > DIFFERS else closed), off

    def of(self, recipe: Recipe) -> Answer | None:
        """The closed form's answer for a recipe of this model; None where it has none."""
        try:
            return self._closed(recipe)
        except InputError:
            return None

    def _closed(self, recipe: Recipe) -> Answer | None:
        """None for a model that the closed form does not know. Raises InputError for a recipe it refuses."""
        from sftui.memory.answer import answer

        shape = self.shape
        if shape is None:
            return None
        lengths = self._lengths_of(recipe)._asdict()
        return answer(recipe, shape, self.device, history=self._facts.history, **lengths)

    def beside(self, field: Field, direction: int) -> str:
        """`→ 4,096  14.0 GiB`: the field's next value and the peak with it; nothing where there is none."""
        if self.trial is None:
            return ""
        try:
            recipe = memory_trial.tried(field, self.trial, direction)
        except InputError:
            return ""
        found = self.of(recipe)
        if found is None:
            return ""
        arrow = "→" if direction > 0 else "←"
        return f"{arrow} {field.show(recipe)}  {brief(found.estimate.peak_bytes)}"

    def reasons(self) -> dict[str, Reason]:
        """The formulas of the peak, with what would help once it is known; none of a simulation."""
        found, known = self.found, self._facts.comparison
        if found is None or found.shape is None or found.step is None or found.source == "simulation":
            return {}
        changes = known.changes if known is not None and known.recipe is found.recipe else ()
        if self._reasons is None or self._reasons[0] is not found or self._reasons[1] is not changes:
            from sftui.memory.why import why

            made = why(found.shape, found.step, found.estimate, changes)
            self._reasons = found, changes, {str(name): reason for name, reason in made.items()}
        return self._reasons[2]

    @property
    def state(self) -> str:
        """What goes on, or where the numbers come from if not from the closed form alone."""
        if self._facts.simulating:
            return "simulating…"
        if self._facts.shape is None:
            return "" if self._facts.problem is not None else "reading config.json…"
        if self._facts.unseen is not None:
            return f"this machine: {self._facts.unseen}"
        if self._off is not None:
            return f"simulated: {self._off:+.1%}"
        if self.found is not None and self.found.source == "simulation":
            return "simulated"
        return "not simulated" if self._facts.simulation_problem is not None else ""
