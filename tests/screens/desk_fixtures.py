"""A dataset of made-up rows behind the interface of `sftui.data.desk.Desk`: no files, no processes."""

from __future__ import annotations

import re
import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from sftui.data.findings.registry import BITS, CHECKS, message
from sftui.data.overview import Loss, OverlengthCost, Overview
from sftui.data.query import Query
from sftui.data.views import Finding, RowFinding, RowLine, RowView, Side, Token, Turn
from sftui.errors import InputError
from sftui.recipe import Packing, Recipe

from .packing_fixtures import FakeBins, Trained, fake_plan, kept, ranges_of

Messages = list[tuple[str, str]]

CHAT: Messages = [
    ("system", "You are a helpful assistant."),
    ("user", "Weng earns $12 an hour for babysitting. Yesterday, she did 50 minutes. How much did she earn?"),
    (
        "assistant",
        "Weng earns 12/60 = $<<12/60=0.2>>0.2 per minute.\n"
        "Working 50 minutes, she earned 0.2 x 50 = $10.\n#### 10",
    ),
    ("user", "And for two hours?"),
    ("assistant", "Two hours are 120 minutes:\n\n\t120 x 0.2 = $24\n#### 24"),
]
HOSTILE: Messages = [
    (
        "user",
        "\x1b[31mred\x1b[0m \x1b]0;owned\x07 [bold]markup[/bold] \u202eback\u200b \x9b2J\r\n\ttab\xa0nbsp",
    ),
    ("assistant", "日本語のテキスト 👍🏽 e\u0301 ﷽ ❤️ 👩‍👩‍👧 ok"),
]


class FakeSearch:
    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.problem: str | None = None

    def cancel(self) -> None:
        self.cancelled.set()


class FakeDesk:
    """`make(n)` gives the messages of row n; None stands for an unreadable row."""

    def __init__(
        self,
        recipe: Recipe,
        changed: Callable[[], None],
        *,
        rows: int = 200,
        make: Callable[[int], Messages | None] | None = None,
        problem: str | None = None,
        seconds: float = 0.0,
        view_seconds: float = 0.0,
        slow_row: int | None = None,
        templates: tuple[str, ...] = ("default", "chatml", "plain", "raw"),
        plan_seconds: float = 0.0,
    ) -> None:
        self.recipe, self.changed, self.problem = recipe, changed, problem
        self.rows, self.seconds, self.view_seconds, self.slow_row = rows, seconds, view_seconds, slow_row
        self.make, self.templates = make or made_up, templates
        self.changes: list[Recipe] = []
        self.asked_lines: list[tuple[int, int]] = []
        self.asked: list[str] = []
        self.plan_seconds = plan_seconds
        self.asked_plans: list[int] = []
        self.searches: list[FakeSearch] = []
        self.closed = threading.Event()
        self._pool = ThreadPoolExecutor(2)
        self._overviews: dict[Side, Overview] = {side: Overview(side) for side in self.sides}
        self._generation = 0

    @property
    def sides(self) -> tuple[Side, ...]:
        return ("train", "eval") if self.recipe.data.eval else ("train",)

    def start(self) -> None:
        self._generation += 1
        threading.Thread(target=self._analyse, args=(self._generation,), daemon=True).start()

    def close(self) -> None:
        self.closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def overview(self, side: Side) -> Overview:
        return self._overviews[side]

    def lines(self, side: Side, begin: int, end: int) -> Future[list[RowLine]]:
        self.asked_lines.append((begin, end))
        self.asked.append("lines")
        return self._pool.submit(lambda: [self._line(row) for row in range(begin, min(end, self.rows))])

    def view(self, side: Side, row: int, sequence: int = 0) -> Future[RowView]:
        self.asked.append("view")
        return self._pool.submit(self._view, side, row, sequence)

    def cost(self, side: Side, max_length: int) -> OverlengthCost | None:
        return cost(self._overviews[side].lengths, max_length)

    def plan(self, max_length: int | None = None) -> Future[Any]:
        length = max_length or self.recipe.data.max_length
        self.asked_plans.append(length)
        return self._pool.submit(self._plan, length, self.recipe)

    def bins(self, strategy: Packing | None = None) -> Future[Any]:
        return self._pool.submit(self._bins, strategy or self.recipe.data.packing, self.recipe)

    def find(self, side: Side, query: Query, found: Callable[[list[int], int, bool], None]) -> FakeSearch:
        search = FakeSearch()
        self.searches.append(search)

        def run() -> None:
            overview = self._overviews[side]
            for begin in range(0, self.rows, 50):
                if search.cancelled.is_set():
                    return
                rows = range(begin, min(begin + 50, self.rows))
                found(
                    [row for row in rows if self._matches(row, query, overview)],
                    rows.stop,
                    rows.stop == self.rows,
                )
                time.sleep(self.seconds / 100)

        threading.Thread(target=run, daemon=True).start()
        return search

    def change(self, recipe: Recipe) -> None:
        self.changes.append(recipe)
        self.recipe = recipe
        self.start()

    # -- packing

    def _plan(self, max_length: int, recipe: Recipe) -> Any:
        time.sleep(self.plan_seconds)
        overview = self._overviews["train"]
        lengths = [length for length in overview.lengths[: overview.analysed] if length]
        return fake_plan(lengths, self.rows, overview.analysed, recipe, max_length)

    def _bins(self, strategy: Packing, recipe: Recipe) -> Any:
        overview, max_length = self._overviews["train"], recipe.data.max_length
        if overview.state != "done":
            return None
        sizes = [(row, kept(length, recipe, max_length)) for row, length in enumerate(overview.lengths)]
        return FakeBins([each for each in sizes if each[1]], strategy, max_length, self._trained)

    def _trained(self, row: int) -> Trained:
        view = row_view(row, "", self.make(row) or [], self.recipe)
        return ranges_of([token.trained for token in view.tokens if not token.cut])

    # -- rows

    def _matches(self, row: int, query: Query, overview: Overview) -> bool:
        messages = self.make(row) or []
        text = " ".join(content for _, content in messages)
        return query.matches_text(text, {role for role, _ in messages}) and query.matches_counts(
            *(overview.lengths[row], overview.trained[row], overview.flags[row])
            if row < len(overview.known)
            else (0, 0, 0)
        )

    def _line(self, row: int) -> RowLine:
        messages = self.make(row)
        if messages is None:
            return RowLine(row, f"rows.jsonl:{row + 1}", "", "is not JSON: found }, expected a value")
        return RowLine(row, f"rows.jsonl:{row + 1}", next(text for role, text in messages if role == "user"))

    def _view(self, side: Side, row: int, sequence: int) -> RowView:
        time.sleep(self.view_seconds if self.slow_row in (None, row) else 0)
        if self.problem:
            raise InputError(self.problem)
        where = f"{side}.jsonl:{row + 1}"
        messages = self.make(row)
        if messages is None:
            lot = "left out" if self.recipe.data.bad_rows == "drop" else "refused"
            error = "is not JSON: found }, expected a value"
            return RowView(row, where, '{"messages": [}', fate=f"{lot}: cannot be used", error=error)
        return row_view(row, where, messages, self.recipe, sequence)

    def _analyse(self, generation: int) -> None:
        if self.problem:
            for side in self.sides:
                self._overviews[side] = replace(self._overviews[side], state="failed", problem=self.problem)
            self.changed()
            return
        data = self.recipe.data
        for side in self.sides:
            lengths, trained, flags = array("I"), array("I"), array("Q")
            self._overviews[side] = replace(
                self._overviews[side],
                state="analysing",
                rows=self.rows,
                counted=True,
                formats=(("messages", self.rows),),
                templates=self.templates,
                findings=(),
                **{"lengths": lengths, "trained": trained, "flags": flags, "known": bytearray()},
            )
            self.changed()
            known = self._overviews[side].known
            for row in range(self.rows):
                if generation != self._generation or self.closed.is_set():
                    return
                messages = self.make(row)
                count = trained_count = bits = 0
                if messages is None:
                    bits = 1 << BITS["unreadable-row"]
                else:
                    facts = figures(tuple(messages), data.train_on, data.max_length, data.overlength)
                    count, trained_count, bits = facts
                lengths.append(count)
                trained.append(trained_count)
                flags.append(bits)
                known.append(1)
                if row % max(1, self.rows // 20) == 0:
                    self._snapshot(side, row + 1)
                    time.sleep(self.seconds / 20)
            self._snapshot(side, self.rows)

    def _snapshot(self, side: Side, analysed: int) -> None:
        before = self._overviews[side]
        done = analysed == self.rows
        lengths = sorted(length for length in before.lengths if length)
        at = (
            [lengths[int(share * (len(lengths) - 1))] for share in (0.05, 0.5, 0.95, 0.99, 1)]
            if lengths
            else None
        )
        findings = []
        for code, bit in BITS.items():
            rows = tuple(row for row, flags in enumerate(before.flags) if flags >> bit & 1)
            if rows:
                check = CHECKS[code]
                findings.append(
                    Finding(
                        code,
                        check.severity,
                        len(rows),
                        rows[:5],
                        (),
                        message(code, len(rows), self.rows),
                        check.why,
                        check.remedy,
                        tuple(f"rows.jsonl:{row + 1}: as it is" for row in rows[:3]),
                    )
                )
        self._overviews[side] = replace(
            before,
            state="done" if done else "analysing",
            analysed=analysed,
            share=analysed / max(1, self.rows),
            sequences=analysed,
            tokens=sum(before.lengths),
            trained_tokens=sum(before.trained),
            findings=tuple(findings),
            percentiles=tuple(at) if at else None,
            length_counts=Counter(lengths),
            cost=cost(before.lengths, self.recipe.data.max_length),
        )
        self.changed()


def made_up(row: int) -> Messages | None:
    """Row 3 is hostile, 5 unreadable, 7 has no answer, 11 is long; the others are small talk."""
    if row == 3:
        return HOSTILE
    if row == 5:
        return None
    if row == 7:
        return [("user", "Is anybody there?")]
    if row == 11:
        return [("user", "Count."), ("assistant", " ".join(map(str, range(600))))]
    return [
        *CHAT,
        ("user", f"row {row}" + " and more" * (row * 37 % 83)),
        ("assistant", f"Row {row} it is." * (row % 5 + 1)),
    ]


def tokenize(text: str) -> list[str]:
    return re.findall(r"<\|\w+\|>|\n| ?[A-Za-z]{1,5}| ?\d| ?[^\sA-Za-z\d<]+|\s|<", text)


def row_view(row: int, where: str, messages: Messages, recipe: Recipe, sequence: int = 0) -> RowView:
    data = recipe.data
    answers = [at for at, (role, _) in enumerate(messages) if role == "assistant"]
    sequences = max(1, len(answers)) if data.sequence_per == "turn" else 1
    if data.sequence_per == "turn" and answers:
        messages, answers = messages[: answers[sequence] + 1], [answers[sequence]]
    elif data.train_on == "last_assistant":
        answers = answers[-1:]
    tokens: list[Token] = []
    turns, at = [], 0
    for turn, (role, content) in enumerate(messages):
        first, trained = len(tokens), turn in answers
        pieces = [("<|im_start|>", False), (role, False), ("\n", False)]
        pieces += [(piece, trained) for piece in tokenize(content)]
        pieces += [("<|im_end|>", trained), ("\n", False)]
        for text, taught in pieces:
            why = (
                f"trained: assistant, message {turn} (train_on: {data.train_on})"
                if taught
                else f"{role}: not trained"
            )
            number = 1000 + len(tokens)
            tokens.append(
                Token(
                    number,
                    text,
                    at,
                    at + len(text),
                    text.encode(),
                    text.startswith("<|"),
                    taught,
                    1.0,
                    number if taught else -100,
                    turn,
                    role,
                    why,
                    False,
                )
            )
            at += len(text)
        turns.append(Turn(turn, role, first, len(tokens), sum(token.trained for token in tokens[first:])))
    total = len(tokens)
    lost, fate = 0, "used"
    if total > data.max_length:
        fate = "truncated" if data.overlength == "truncate" else "left out: too long"
        keep = data.max_length if data.overlength == "truncate" else 0
        lost = total - keep
        tokens = [
            replace(token, cut=True, trained=False, label=-100, why="cut: beyond max_length")
            if n >= keep
            else token
            for n, token in enumerate(tokens)
        ]
    return RowView(
        row,
        where,
        f'{{"messages": {messages!r}}}',
        "messages",
        "default",
        "".join(token.text for token in tokens),
        tuple(messages),
        "",
        tuple(tokens),
        tuple(turns),
        sequence,
        sequences,
        total,
        sum(token.trained for token in tokens),
        lost,
        fate,
        (RowFinding("truncated", f"{lost} tokens lost"),) if lost else (),
    )


_FIGURES: dict[Any, tuple[int, int, int]] = {}


def figures(
    messages: tuple[tuple[str, str], ...], train_on: str, max_length: int, overlength: str
) -> tuple[int, int, int]:
    """Tokens, trained tokens and flags of a row."""
    key = messages, train_on, max_length, overlength
    if key not in _FIGURES:
        answers = [content for role, content in messages if role == "assistant"]
        if train_on == "last_assistant":
            answers = answers[-1:]
        count = sum(len(tokenize(content)) + 5 for _, content in messages)
        trained = sum(len(tokenize(content)) + 1 for content in answers)
        bits = 0 if trained else 1 << BITS["no-trained-tokens"]
        if count > max_length:
            bits |= 1 << BITS["truncated" if overlength == "truncate" else "dropped-overlength"]
        _FIGURES[key] = count, trained, bits
    return _FIGURES[key]


def cost(lengths: array[int], max_length: int) -> OverlengthCost:
    longer = [length for length in lengths if length > max_length]
    rest = sum(length - max_length for length in longer)
    whole = Loss(len(longer), sum(longer), sum(longer) // 2, 0)
    part = Loss(0, rest, rest // 2, 0)
    return OverlengthCost(max_length, len(longer), whole, part, part)
