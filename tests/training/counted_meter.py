"""A meter for the CPU that really counts: live bytes of tensors. To be entered as a mode."""

from __future__ import annotations

from typing import Any

import bitsandbytes
import torch

from sftui.training import run_memory, session, trial
from sftui.training.held import table_tensors, weight_tensors
from sftui.training.meter import Reading
from sftui.training.simulation.counting import LiveBytes, Peak, Window


class CountedMeter(LiveBytes):
    """What `CudaMeter` is on a GPU; `all_windows` has the peaks of all windows that there were, `trained` is
    the number of trained tensors."""

    def __init__(self) -> None:
        super().__init__("cpu")
        self.all_windows: dict[Window, Peak] = {}
        self._place: Window = ("between", "steps")
        self._ends: dict[Window, int] = {}
        self._highest = 0
        self.trained = 0
        super().enter(self._place)

    def enter(self, window: Window) -> None:
        self._ends[self._place] = self.total
        self._place = window
        super().enter(window)

    def readings(self) -> dict[Window, Reading]:
        self._ends[self._place] = self.total
        found, self.windows = self.windows, {}
        super().enter(self._place)
        for window, peak in found.items():
            self._highest = max(self._highest, peak.total)
            if window not in self.all_windows or peak.total > self.all_windows[window].total:
                self.all_windows[window] = peak
        return {window: Reading(self._ends[window], peak.total, peak.total) for window, peak in found.items()}

    def now(self) -> Reading:
        most = max(self._highest, *(peak.total for peak in self.windows.values()))
        return Reading(self.total, most, most)

    def take(self, model: Any) -> None:
        """Count a model that was loaded outside of the mode, and gradients as what they are."""
        self.count(weight_tensors(model), "weights")
        self.count(table_tensors(), "weights")
        trained: list[torch.nn.Parameter] = [each for each in model.parameters() if each.requires_grad]
        if hasattr(model, "get_base_model"):
            self.count(trained, "adapter")
        self.trained = len(trained)
        each: Any
        for each in trained:
            each.register_post_accumulate_grad_hook(lambda it: self.count([it.grad], "gradients"))


def count_runs(monkeypatch: Any) -> CountedMeter:
    """Let the runs of this process be measured, and their largest batches be tried, as on a GPU."""
    meter = CountedMeter()
    load = session.load_model

    def load_model(*arguments: Any) -> Any:
        with meter.paused():
            model = load(*arguments)
        meter.take(model)
        return model

    # Tables of 4-bit types that earlier runs in this process made are none of this run's.
    monkeypatch.setattr(bitsandbytes.functional, "name2qmap", {})
    monkeypatch.setattr(run_memory, "meter_for", lambda where: meter)
    monkeypatch.setattr(session, "load_model", load_model)
    monkeypatch.setattr(trial, "is_worth_it", lambda where: True)
    return meter
