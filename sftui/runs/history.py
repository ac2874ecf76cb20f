"""A run as its events tell it: curves, last values, answers, warnings. Fed as the file grows."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sftui.runs.directory import RunDirectory
from sftui.runs.events import Event, EventReader
from sftui.runs.memory_history import MemoryHistory
from sftui.runs.series import Series
from sftui.runs.status import Status, read_status

# What watchers show as numbers: where an event has something else there, it counts as missing.
STEP_NUMBERS = ("loss", "learning_rate", "grad_norm", "tokens", "trained_tokens", "tokens_per_second")
START_NUMBERS = ("rows", "sequences", "eval_sequences", "sample_rows", "tokens", "trained_tokens")
MEMORY_NUMBERS = (
    "allocated_bytes",
    "reserved_bytes",
    "peak_bytes",
    "cpu_percent",
    "rss_bytes",
    "ram_used_bytes",
    "ram_total_bytes",
)
GPU_NUMBERS = (
    "index",
    "total_bytes",
    "used_bytes",
    "utilization_percent",
    "power_watts",
    "temperature_celsius",
)

# Steps whose wall time the prediction of the end rests on.
RECENT_STEPS = 64


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model answered to a held-out row after `step` steps."""

    step: int
    where: str
    prompt: str
    expected: str
    text: str


@dataclass(slots=True)
class History:
    """Everything that the events of a run have said so far."""

    loss: Series = field(default_factory=lambda: Series(0.9))
    eval_loss: Series = field(default_factory=Series)
    learning_rate: Series = field(default_factory=Series)
    grad_norm: Series = field(default_factory=Series)
    tokens_per_second: Series = field(default_factory=Series)
    start: Event | None = None
    step: Event | None = None
    memory: Event | None = None
    taken: MemoryHistory = field(default_factory=MemoryHistory)
    answers: list[Answer] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    checkpoints: list[int] = field(default_factory=list)
    evaluations: dict[int, float] = field(default_factory=dict)
    _recent: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=RECENT_STEPS))

    def feed(self, events: Iterable[Event]) -> None:
        """Take further events in; unknown types and events with missing values are passed over."""
        for event in events:
            try:
                self._feed(event)
            except (KeyError, TypeError, ValueError, OverflowError):
                continue

    def _feed(self, event: Event) -> None:
        kind = event["type"]
        self.taken.feed(event)
        if kind == "step":
            step, time = _step(event), float(event["time"])
            values = [_number(event[name]) for name in ("loss", "learning_rate", "grad_norm")]
            values.append(_number(event.get("tokens_per_second")))
            if self.step is not None and step <= self.step["step"]:
                self._forget_from(step)
            curves = (self.loss, self.learning_rate, self.grad_norm, self.tokens_per_second)
            for series, value in zip(curves, values, strict=True):
                series.append(step, value)
            self._recent.append((step, time))
            self.step = _checked(event, STEP_NUMBERS)
        elif kind == "eval":
            step, loss = _step(event), _number(event["loss"])
            self.eval_loss.truncate_from(step)
            self.eval_loss.append(step, loss)
            self.evaluations[step] = loss
        elif kind == "memory":
            gpus = event.get("gpus")
            known = [gpu for gpu in gpus if isinstance(gpu, dict)] if isinstance(gpus, list) else []
            self.memory = {
                **_checked(event, MEMORY_NUMBERS),
                "gpus": [_checked(gpu, GPU_NUMBERS) for gpu in known],
            }
        elif kind == "sample":
            texts = (str(event[name]) for name in ("where", "prompt", "expected", "answer"))
            self.answers.append(Answer(_step(event), *texts))
        elif kind == "warning":
            # A resumed run says again what it said of its data.
            if (message := str(event["message"])) not in self.warnings:
                self.warnings.append(message)
        elif kind == "checkpoint":
            self.checkpoints.append(_step(event))
        elif kind == "start":
            self.start = _checked(event, START_NUMBERS)
            self._forget_from(0)
        elif kind == "resume":
            self._forget_from(_step(event) + 1)
            self.start = self.start or _checked(event, START_NUMBERS)

    def _forget_from(self, step: int) -> None:
        """Drop what a resumed run does again."""
        for series in (self.loss, self.learning_rate, self.grad_norm, self.tokens_per_second, self.eval_loss):
            series.truncate_from(step)
        if self.step is not None and self.step["step"] >= step:
            self.step = None
        self.answers = [one for one in self.answers if one.step < step]
        self.checkpoints = [one for one in self.checkpoints if one < step]
        self.evaluations = {one: loss for one, loss in self.evaluations.items() if one < step}
        self._recent.clear()

    def seconds_per_step(self) -> float | None:
        """Mean wall time of recent steps in seconds, evaluations and checkpoints between them included."""
        if len(self._recent) < 2:
            return None
        (first, began), (last, ended) = self._recent[0], self._recent[-1]
        return (ended - began) / (last - first) if last > first and ended > began else None

    def seconds_left(self, max_steps: int) -> float | None:
        """Predicted seconds until `max_steps`, at the pace of recent steps."""
        pace = self.seconds_per_step()
        if pace is None or self.step is None:
            return None
        return max(0, max_steps - int(self.step["step"])) * pace

    def best_eval(self) -> tuple[int, float] | None:
        """(step, loss) of the lowest evaluation loss."""
        finite = [(loss, step) for step, loss in self.evaluations.items() if math.isfinite(loss)]
        return min(finite)[::-1] if finite else None

    def before_and_after(self) -> list[tuple[Answer, Answer]]:
        """For each held-out row its first answer and its latest, where there are two."""
        first: dict[str, Answer] = {}
        latest: dict[str, Answer] = {}
        for answer in self.answers:
            first.setdefault(answer.where, answer)
            latest[answer.where] = answer
        return [(first[where], latest[where]) for where in first if latest[where] is not first[where]]


@dataclass(frozen=True, slots=True)
class News:
    """What one look at a run's files has brought. `more`: there may be more events to read at once."""

    status: Status | None
    events: list[Event]
    more: bool


class Watch:
    """Follows one run: its status and its events.

    `look` reads files and may run in a thread; `take` changes the history and belongs to one thread.
    """

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self.history = History()
        self.status: Status | None = None
        self._reader = EventReader(run.events_file)

    def look(self) -> News:
        """Read the status and a piece of the events that are new."""
        before = self._reader.offset
        # Status first, then events: when the status says that the run has ended, its events are complete.
        status = read_status(self.run)
        events = self._reader.read()
        return News(status, events, self._reader.offset > before)

    def glance(self) -> News:
        """Read the status alone; the events wait in their file."""
        return News(read_status(self.run), [], more=False)

    def take(self, news: News) -> None:
        """Let the history know."""
        self.status = news.status
        self.history.feed(news.events)

    def catch_up(self) -> None:
        """Read all there is."""
        while True:
            news = self.look()
            self.take(news)
            if not news.more:
                return


def tail(path: Path, lines: int, limit: int = 65_536) -> list[str]:
    """The last lines of a text file, without reading more than its last `limit` bytes."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - limit))
            text = file.read(limit).decode("utf-8", "replace")
    except OSError:
        return []
    found = text.splitlines()
    if size > limit:
        found = found[1:]
    return found[-lines:] if lines > 0 else []


def _step(event: Event) -> int:
    step = event["step"]
    if type(step) is not int or not 0 <= step < 2**63:
        raise ValueError(f"{step!r} is no step")
    return step


def _checked(event: Event, names: Iterable[str]) -> Event:
    """The event with None for each of these values that is there and not a finite number."""
    wrong = [name for name in names if name in event and not math.isfinite(_number(event[name]))]
    return {**event, **dict.fromkeys(wrong)}


def _number(value: object) -> float:
    """A value of an event; null stands for one that JSON has no word for."""
    return float(value) if isinstance(value, int | float) else math.nan
