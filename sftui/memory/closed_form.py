"""A model's shape and a step -> the memory of the step, without running anything."""

from __future__ import annotations

from sftui.memory.estimate import Estimate, estimate_from
from sftui.memory.modules import plan
from sftui.memory.moments import Step, moments_of
from sftui.memory.shape import ModelShape
from sftui.memory.step import StepSpec
from sftui.memory.weights import held


def estimate(shape: ModelShape, spec: StepSpec) -> Estimate:
    """The memory of a step of this model."""
    model = plan(shape, spec.adapter)
    found = held(shape, spec, model)
    return estimate_from(moments_of(Step(shape, spec, model, found)), found.parameters)
