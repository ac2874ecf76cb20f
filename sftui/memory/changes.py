"""Changes of a recipe that take less memory: what they save, what they cost in time, which make it fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sftui.memory.band import Fits
from sftui.memory.closed_form import estimate
from sftui.memory.estimate import Estimate, Moment
from sftui.memory.known import NOTHING, Known
from sftui.memory.levers import RESULTS, Lever, Result, Values, changed, levers
from sftui.memory.shape import ModelShape
from sftui.memory.step import StepSpec
from sftui.memory.work import typical_seconds
from sftui.recipe import Overlength, Recipe

_CRUMB = 0.05  # of what is missing
_LITTLE_SHORTER = 0.85  # of the length

_LONGER_ONES: dict[Overlength, str] = {
    "drop": "longer sequences are dropped",
    "truncate": "longer sequences are cut",
    "error": "longer sequences are refused",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a recipe.

    `lever` is the name of what is changed. `values` by dotted recipe key, and `recipe` with them. `result` is
    what becomes of the trained model: see `Lever`. `estimate` is of the changed recipe, which has `saves`
    bytes less at its peak. `slower`: how much longer the same tokens take (1.3: 30% longer).
    """

    text: str
    lever: str
    values: Mapping[str, Any]
    result: Result
    saves: int
    estimate: Estimate
    slower: float
    recipe: Recipe


def changes(
    recipe: Recipe,
    shape: ModelShape,
    found: Estimate,
    known: Known = NOTHING,
    *,
    moment: Moment | None = None,
) -> list[Change]:
    """Every single change that lowers the peak of `found`, the estimate of this recipe.

    With a `moment`, every one that lowers what is needed then: `saves` is of that moment.

    In the order of what they cost in time, in percent; equals in that of what they change, then of what they
    save.
    """
    start = _State(recipe, shape, known)
    made = []
    for lever in levers(recipe, shape, start.spec):
        for place in lever.shown:
            one = _change(start, lever, lever.options[place], found, moment)
            if one is not None and one.saves > 0:
                made.append(one)
    return sorted(made, key=lambda one: (_cost(one.slower), RESULTS.index(one.result), -one.saves))


def cheapest(recipe: Recipe, shape: ModelShape, fits: Fits, known: Known = NOTHING) -> list[Change] | None:
    """The changes that make a recipe fit: none if it does already, None where nothing helps.

    The effective batch stays. What is learned is left alone as long as anything else suffices, and the data
    longer still, unless somewhat shorter sequences do for what a change of the adapter would save; of changes
    of one kind those come first that cost the least time. None can be left out. `saves` and `slower` of each
    are after those before it. Takes 10 to 70 ms.
    """
    start = _State(recipe, shape, known)
    if start.held_by(fits):
        return []
    found, enough = _applied(start, fits)
    if not enough:
        return None
    # What changes the most is made as mild as can be while all else is at its strongest; and so on down.
    order = sorted(found, key=lambda one: (RESULTS.index(one.lever.result), _cost(one.slower)), reverse=True)
    for one in order:
        rest = [each for each in found if each is not one]
        state = _with(start, rest)
        if state is not None and state.held_by(fits):
            found = rest
        else:
            milder = _milder(start, found, one, fits)
            found = [milder if each is one else each for each in found]
    return _listed(start, _without_crumbs(start, found, fits))


def most(recipe: Recipe, shape: ModelShape, known: Known = NOTHING) -> Estimate:
    """The estimate with every change at once, each at its strongest: no recipe of this model takes less."""
    start = _State(recipe, shape, known)
    applied, _ = _applied(start, lambda *_: False)
    state = _with(start, applied)
    return start.estimate if state is None else state.estimate


def best(found: Sequence[Change], count: int) -> list[Change]:
    """The changes that save most, one of each lever."""
    chosen: dict[str, Change] = {}
    for one in sorted(found, key=lambda one: -one.saves):
        chosen.setdefault(one.lever, one)
    return list(chosen.values())[:count]


class _State:
    """A recipe with what follows from it, computed when it is asked for."""

    def __init__(self, recipe: Recipe, shape: ModelShape, known: Known) -> None:
        self.recipe, self.shape, self.known = recipe, shape, known

    @cached_property
    def spec(self) -> StepSpec:
        return self.known.step(self.recipe, self.shape)

    @cached_property
    def estimate(self) -> Estimate:
        return estimate(self.shape, self.spec)

    @cached_property
    def seconds(self) -> float:
        return typical_seconds(self.shape, self.spec)

    def held_by(self, fits: Fits) -> bool:
        return fits(self.recipe, self.estimate)

    def changed(self, values: Values) -> _State | None:
        made = changed(self.recipe, values)
        return None if made is None else _State(made, self.shape, self.known)


@dataclass(frozen=True, slots=True)
class _Applied:
    """A lever, and where it stands."""

    lever: Lever
    values: Values
    slower: float


def _applied(start: _State, fits: Fits) -> tuple[list[_Applied], bool]:
    """Levers at their strongest, one after the other, until it fits; whether it does in the end."""
    found: list[_Applied] = []
    state, tried = start, set[str]()
    while not state.held_by(fits):
        nearest: tuple[tuple[int, float], _State, _Applied] | None = None
        for lever in levers(state.recipe, state.shape, state.spec):
            rank = RESULTS.index(lever.result)
            if lever.name in tried or (nearest is not None and nearest[0][0] < rank):
                continue
            after = state.changed(lever.options[-1])
            if after is None:
                continue
            slower = after.seconds / state.seconds
            # Of those that change what is learned, the order of the levers is that of how much.
            key = rank, _cost(slower) if lever.result in ("same", "nearly") else 0.0
            if nearest is None or key < nearest[0]:
                nearest = key, after, _Applied(lever, lever.options[-1], slower)
        if nearest is None:
            return found, False
        _, state, one = nearest
        tried.add(one.lever.name)
        found.append(one)
    return found, True


def _without_crumbs(start: _State, found: list[_Applied], fits: Fits) -> list[_Applied]:
    """Without changes of the adapter that save next to nothing, if somewhat shorter sequences do as well."""
    for one in [each for each in found if each.lever.result == "learned"]:
        data = next((each for each in found if each.lever.name == "length"), None)
        whole, rest = _with(start, found), _with(start, [each for each in found if each is not one])
        if data is None or whole is None or rest is None:
            continue
        missing = start.estimate.peak_bytes - whole.estimate.peak_bytes
        if rest.estimate.peak_bytes - whole.estimate.peak_bytes > _CRUMB * missing:
            continue
        strongest = replace(data, values=data.lever.options[-1])
        tried = [strongest if each is data else each for each in found if each is not one]
        state = _with(start, tried)
        if state is None or not state.held_by(fits):
            continue
        shorter = _milder(start, tried, strongest, fits)
        if _tokens(shorter) >= _LITTLE_SHORTER * _tokens(data):
            found = _needed(start, [shorter if each is strongest else each for each in tried], fits)
    return found


def _tokens(length: _Applied) -> int:
    return int(length.values["data.max_length"])


def _needed(start: _State, found: list[_Applied], fits: Fits) -> list[_Applied]:
    """Without those that it fits without."""
    for one in found:
        rest = [each for each in found if each is not one]
        state = _with(start, rest)
        if state is not None and state.held_by(fits):
            found = rest
    return found


def _with(start: _State, applied: list[_Applied]) -> _State | None:
    state: _State | None = start
    for one in applied:
        state = state and state.changed(one.values)
    return state


def _listed(start: _State, applied: list[_Applied]) -> list[Change]:
    listed: list[Change] = []
    state = start
    for one in applied:
        made = _change(state, one.lever, one.values, state.estimate)
        assert made is not None, "it was made before"
        listed.append(made)
        state = _State(made.recipe, state.shape, state.known)
    return listed


def _milder(start: _State, applied: list[_Applied], one: _Applied, fits: Fits) -> _Applied:
    """The lever as far from its strongest as still fits: the quickest, where its options have no order."""

    def tried(place: int) -> tuple[_Applied, _State] | None:
        other = _Applied(one.lever, one.lever.options[place], one.slower)
        state = _with(start, [other if each is one else each for each in applied])
        return (other, state) if state is not None and state.held_by(fits) else None

    last = len(one.lever.options) - 1
    if not one.lever.ordered:
        fitting = [found for place in range(last + 1) if (found := tried(place)) is not None]
        return min(fitting, key=lambda found: round(found[1].seconds / start.seconds, 2))[0]
    low, high, best = 0, last, one
    while low < high:
        middle = (low + high) // 2
        found = tried(middle)
        if found is None:
            low = middle + 1
        else:
            high, best = middle, found[0]
    return best


def _cost(slower: float) -> float:
    """What is not slower costs nothing, and a percent nobody sees."""
    return max(1.0, round(slower, 2))


def _change(
    before: _State, lever: Lever, values: Values, found: Estimate, moment: Moment | None = None
) -> Change | None:
    after = before.changed(values)
    if after is None:
        return None
    lower = after.estimate
    saves = found.peak_bytes - lower.peak_bytes if moment is None else found.at(moment) - lower.at(moment)
    slower = after.seconds / before.seconds
    text = _text(lever, values, after.recipe)
    return Change(text, lever.name, dict(values), lever.result, saves, lower, slower, after.recipe)


def _text(lever: Lever, values: Values, recipe: Recipe) -> str:
    if lever.name == "adapter" and recipe.adapter is not None:
        return f"a LoRA adapter of rank {recipe.adapter.r} instead of all weights"
    text = ", ".join(f"{key.rpartition('.')[2]}: {_yaml(value)}" for key, value in values.items())
    if lever.name != "length":
        return text
    data = recipe.data
    longer = "sequences are cut more often" if data.packing == "wrapped" else _LONGER_ONES[data.overlength]
    return f"{text} ({longer})"


def _yaml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
