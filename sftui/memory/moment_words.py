"""The moments of a step in words, the same for command, screens and trainer."""

from __future__ import annotations

from sftui.memory.estimate import Moment

NAMES: dict[Moment, str] = {
    "load": "load",
    "forward": "forward",
    "loss": "loss",
    "backward_last": "backward last",
    "backward_first": "backward first",
    "optimizer_step": "optimizer step",
    "evaluation": "evaluation",
    "save": "save",
}
"""Short names, for tables; `backward last` is of the last layers, with which the backward pass begins."""

WHEN: dict[Moment, str] = {
    "load": "while loading the model",
    "forward": "in the forward pass",
    "loss": "at the loss",
    "backward_last": "in the backward pass of the last layers",
    "backward_first": "in the backward pass of the first layers",
    "optimizer_step": "at the optimizer step",
    "evaluation": "in an evaluation",
    "save": "while saving",
}
"""As they go on in a sentence."""
