"""Live bytes of tensors, counted as torch.cuda's caching allocator counts them."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sftui.memory.estimate import COMPONENTS, Component
from sftui.training.fp8 import KIND
from sftui.training.simulation.engine import in_place, references_of_engine

BLOCK = 512  # bytes; what every allocation is rounded up to (c10/cuda/CUDACachingAllocator.h, kMinBlockSize)

_NUMBER = {component: number for number, component in enumerate(COMPONENTS)}
_DEQUANTIZATION = _NUMBER["dequantization"]


def rounded(size: int) -> int:
    """What the caching allocator takes for `size` bytes, where a rest of any size can be used again
    (expandable segments)."""
    return -(-size // BLOCK) * BLOCK


@dataclass(slots=True)
class Peak:
    """The most that was allocated in a window, of which component, and the operator that made it so."""

    total: int = 0
    parts: list[int] = field(default_factory=lambda: [0] * len(COMPONENTS))
    operator: str = ""


Window = tuple[str, int | str]
Workspace = Callable[[tuple[Any, ...], dict[str, Any], Any], tuple[int, Component]]
Answer = Callable[[tuple[Any, ...], dict[str, Any]], Any]


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the storages that are alive on one device, each once.

    A storage is counted when an operator returns it first, under the component that `making` names, and
    until its last reference goes. `windows` has the peak of each window that `enter` began.
    `workspaces` says what kernels take besides their outputs while they run, `answers` what operators
    return that are not run. Views of storages that were never counted count: hand those to `ignore`.
    What autograd writes in place when no mode is there it writes in place here (`engine.in_place`).
    """

    def __init__(
        self,
        device: str,
        workspaces: dict[str, Workspace] | None = None,
        answers: dict[str, Answer] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        references_of_engine()  # asked for again within operators, which it cannot be found out in
        self.windows: dict[Window, Peak] = {}
        self._device = device
        self._workspaces = workspaces or {}
        self._answers = answers or {}
        self._live: dict[int, list[Any]] = {}
        self._parts = [0] * len(COMPONENTS)
        self._total = 0
        self._component = _NUMBER["activations"]
        self._window = Peak()

    @property
    def total(self) -> int:
        """Bytes that are alive now."""
        return self._total

    def enter(self, window: Window) -> None:
        """Begin a window, or go on with it."""
        self._window = self.windows.setdefault(window, Peak())
        self._look("")

    @contextmanager
    def making(self, component: Component) -> Iterator[None]:
        """What is allocated meanwhile belongs to `component`."""
        before, self._component = self._component, _NUMBER[component]
        try:
            yield
        finally:
            self._component = before

    def make(self, component: Component) -> None:
        """What is allocated from now on belongs to `component`."""
        self._component = _NUMBER[component]

    def count(self, tensors: Iterable[torch.Tensor], component: Component) -> None:
        """Count these under `component`, whether they were counted before or not."""
        number = _NUMBER[component]
        for tensor in tensors:
            if tensor.device.type != self._device:
                continue
            entry = self._entry(tensor, number)
            if entry[1] != number:
                self._parts[entry[1]] -= entry[0]
                self._parts[number] += entry[0]
                entry[1] = number
        self._look("")

    def ignore(self, tensor: torch.Tensor) -> None:
        """Count nothing for this tensor, made while the count was `paused`."""
        entry = self._entry(tensor, 0)
        self._total -= entry[0]
        self._parts[entry[1]] -= entry[0]
        entry[0] = 0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is made meanwhile is not counted until an operator returns it again."""
        before, self._device = self._device, ""
        try:
            yield
        finally:
            self._device = before

    def reserve(self, size: int, component: Component) -> None:
        """Count bytes that stay until the end."""
        self._total += size
        self._parts[_NUMBER[component]] += size
        self._look("")

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operator and count what it returns."""
        kwargs = kwargs or {}
        name = func.__name__
        result = in_place(name, args, kwargs)
        if result is None:
            answer = self._answers.get(name)
            result = func(*args, **kwargs) if answer is None else answer(args, kwargs)
        number = _DEQUANTIZATION if _dequantises(name, args) else self._component
        grown = False
        if isinstance(result, torch.Tensor):
            grown = self._see(result, number)
        elif isinstance(result, tuple | list):
            for each in result:
                if isinstance(each, torch.Tensor):
                    grown |= self._see(each, number)
        workspace = self._workspaces.get(name)
        if workspace is not None:
            size, component = workspace(args, kwargs, result)
            if size:
                self._borrow(size, component, name)
        if grown:
            self._look(name)
        return result

    def _see(self, tensor: torch.Tensor, number: int) -> bool:
        if tensor.device.type != self._device:
            return False
        before = self._total
        self._entry(tensor, number)
        return self._total != before

    def _entry(self, tensor: torch.Tensor, number: int) -> list[Any]:
        storage = tensor.untyped_storage()
        key = storage._cdata
        entry = self._live.get(key)
        if entry is not None:
            return entry
        size = rounded(storage.nbytes())
        entry = [size, number, None]
        # The storage's Python object lives as long as the storage itself.
        entry[2] = weakref.ref(storage, lambda _: self._free(key))
        self._live[key] = entry
        self._total += size
        self._parts[number] += size
        return entry

    def _free(self, key: int) -> None:
        size, number, _ = self._live.pop(key)
        self._total -= size
        self._parts[number] -= size

    def _look(self, name: str) -> None:
        peak = self._window
        if self._total > peak.total:
            peak.total, peak.parts, peak.operator = self._total, self._parts.copy(), name

    def _borrow(self, size: int, component: Component, name: str) -> None:
        self._total += size
        self._parts[_NUMBER[component]] += size
        self._look(name)
        self._total -= size
        self._parts[_NUMBER[component]] -= size


def _dequantises(name: str, args: tuple[Any, ...]) -> bool:
    """Whether an operator makes a weight of stored ones."""
    return name.startswith("dequantize") or (name == "_to_copy.default" and args[0].dtype == KIND)
