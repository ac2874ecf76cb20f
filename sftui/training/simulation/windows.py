"""Where in a step the model is: hooks that begin a window of the count at each layer."""

from __future__ import annotations

from typing import Any, Protocol

import torch

from sftui.memory.estimate import Component
from sftui.training.simulation.counting import Window
from sftui.training.simulation.skeleton import decoder_layers


class Watcher(Protocol):
    """What is told where the step is: a count of live bytes, or a device's meter."""

    def enter(self, window: Window) -> None:
        """Begin a window, or go on with it."""

    def make(self, component: Component) -> None:
        """What is allocated from now on belongs to `component`."""


class Windows:
    """Tells a watcher which part of the step is running.

    ("forward", "embeddings" | layer | "norm"), ("loss", "forward" | "released" | "backward"), ("backward",
    layer | "embeddings"), ("evaluation", "batch" | "released"). What is made in the output head and the loss
    counts as logits.
    """

    def __init__(self, model: Any, counter: Watcher) -> None:
        self._counter = counter
        self._running = ""
        self._handles: list[Any] = []
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        layers = decoder_layers(base)
        for number, layer in enumerate(layers if layers is not None else ()):
            last = number + 1 == len(layers or ())
            self._handles.append(layer.register_forward_pre_hook(self._before(number), with_kwargs=True))
            self._handles.append(layer.register_forward_hook(self._after(number, last=last)))
        head = base.get_output_embeddings()
        if head is not None:
            self._handles.append(head.register_forward_pre_hook(self._head))

    def remove(self) -> None:
        """Take the hooks off the model's modules again."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def begin_forward(self) -> None:
        """The first operator of a forward pass is next."""
        self._running = "forward"
        self._counter.make("activations")
        self._counter.enter(("forward", "embeddings"))

    def released(self) -> None:
        """What all layers have left beside their activations is gone.

        A window that goes on would have two places whose heights grow otherwise with the number of layers.
        """
        if self._running == "forward":
            self._counter.enter(("loss", "released"))
        elif self._running == "evaluation":
            self._counter.enter(("evaluation", "released"))

    def begin_backward(self) -> None:
        """The backward pass is next, from the loss on."""
        self._running = "backward"
        self._counter.make("logits")
        self._counter.enter(("loss", "backward"))

    def begin_evaluation(self) -> None:
        """An evaluation pass is next: one window."""
        self._running = "evaluation"
        self._counter.make("activations")
        self._counter.enter(("evaluation", "batch"))

    def end(self) -> None:
        """None is running."""
        self._running = ""
        self._counter.make("activations")

    def _before(self, number: int) -> Any:
        def hook(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if self._running not in ("forward", "backward"):
                return
            self._counter.enter((self._running, number))
            if number == 0 and self._running == "forward":
                states = args[0] if args else kwargs.get("hidden_states")
                if isinstance(states, torch.Tensor) and states.requires_grad:
                    states.register_hook(self._reached("embeddings"))  # type: ignore[no-untyped-call]

        return hook

    def _after(self, number: int, *, last: bool) -> Any:
        def hook(module: Any, args: tuple[Any, ...], output: Any) -> None:
            if self._running != "forward":
                return
            states = output[0] if isinstance(output, tuple) else output
            if isinstance(states, torch.Tensor) and states.requires_grad:
                states.register_hook(self._reached(number))  # type: ignore[no-untyped-call]
            if last:
                self._counter.enter(("forward", "norm"))

        return hook

    def _head(self, module: Any, args: tuple[Any, ...]) -> None:
        if self._running in ("forward", "evaluation"):
            self._counter.make("logits")
        if self._running == "forward":
            self._counter.enter(("loss", "forward"))

    def _reached(self, place: int | str) -> Any:
        def hook(gradient: torch.Tensor) -> None:
            self._counter.make("activations")
            self._counter.enter(("backward", place))

        return hook
