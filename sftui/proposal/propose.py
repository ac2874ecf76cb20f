"""A dataset, a model and a device -> a recipe that explains itself."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sftui.data.model_files import model_directory
from sftui.errors import InputError
from sftui.memory.device import Device
from sftui.proposal.lengths import Lengths, Progress, guessed_lengths, measured_lengths, worst
from sftui.proposal.models import Candidate, cached_models, has_chat_template, named_model, offered_models
from sftui.proposal.models import parameters as parameters_of
from sftui.proposal.rows import RowFacts, look_at_rows
from sftui.proposal.settle import Asked, Method, Settled, room, settle
from sftui.recipe import Recipe, Source
from sftui.recipe_file import parse_recipe
from sftui.recipe_override import parse_override
from sftui.recipe_save import value_of
from sftui.runs.rates import Rate
from sftui.words import count, counted, duration, size

_LONG = 12 * 3600.0  # seconds that a run may take at worst, for a model that nobody asked for
_CPU_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
_MOST_CPU = 1e9  # parameters of a model that a CPU is given without being asked
_MUCH_SMALLER = 4  # times smaller than the best one that fits, a cached model is not taken for it
_SHOWN = 4  # findings
_MODEL_PLACEHOLDER = "model"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A recipe as text with its reasons, as `load_recipe` reads it, and what a person should know.

    `notes` are sentences, the text opens with them too. `fits` is False where no way was found to make it
    fit the device.
    """

    text: str
    recipe: Recipe
    notes: tuple[str, ...]
    fits: bool


def propose(
    data: str | Path,
    *,
    model: str | None = None,
    device: Device | None = None,
    method: Method = "auto",
    overrides: Iterable[str] = (),
    folder: Path | None = None,
    rates: Sequence[Rate] = (),
    progress: Progress | None = None,
) -> Proposal:
    """A recipe that trains on the rows of `data`, a file, pattern, folder or Hub dataset.

    Without `model`, one of the Hub cache or an open one of today is chosen; without `device`, the recipe
    is for the CPU. `overrides` are `key=value`, and decide. `rates` is what `rates_in` found, of runs of
    earlier. Paths in the text are relative to `folder`, the current directory by default. Takes about a
    second for each 5,000 rows: for a thread. Raises InputError for data, a model or overrides that cannot be
    used.
    """
    overrides = list(overrides)
    folder = (folder or Path.cwd()).absolute()
    method, given, asked_for = _given(str(data), method, overrides)
    name = given.pop("model.name_or_path", None) or model
    revision = given.get("model.revision")
    facts = look_at_rows(asked_for.data.train)
    asked = Asked(facts.sources, facts, guessed_lengths(facts), device, method, given, rates)
    if name is not None:
        chosen, reason = named_model(name, revision), ""
    else:
        chosen, reason = _chosen(asked)
    settled = settle(asked, chosen)
    if chosen.at_hand:
        asked, settled = _measured(asked, settled, progress)
    notes = tuple(_notes(asked, settled, reason))
    title = f"Made by sftui new for {_name(facts.sources)}: {_method(settled)}."
    text = settled.draft.text([title, "", *notes], folder)
    return Proposal(text, parse_recipe(text, base=folder), notes, settled.fits)


def _given(data: str, method: Method, overrides: Sequence[str]) -> tuple[Method, dict[str, Any], Recipe]:
    """The method, the values that overrides give, by dotted key, and a recipe that has them."""
    parsed = [parse_override(override) for override in overrides]
    if any(key == ("adapter",) and value is None for key, value in parsed):
        method = "full"
    tree = {
        "model": {"name_or_path": _MODEL_PLACEHOLDER, "quantization": "nf4" if method == "qlora" else "none"},
        "data": {"train": [{"path": data}]},
        "adapter": None if method == "full" else {},
    }
    recipe = parse_recipe(json.dumps(tree), overrides, file="sftui new", base=Path.cwd())
    if method == "full" and recipe.adapter is not None:
        raise InputError("an adapter is given, and method full trains all weights: expected one of them")
    given: dict[str, Any] = {}
    for key, value in parsed:
        dotted = ".".join(map(str, key))
        if key[:2] == ("data", "train") or (key == ("adapter",) and value is None):
            continue
        if dotted.startswith("data.eval."):
            dotted = "data.eval"
        leaves = [f"{dotted}.{name}" for name in value] if isinstance(value, Mapping) else [dotted]
        given |= {leaf: value_of(recipe, leaf) for leaf in leaves if leaf != "data.train"}
    return method, given, recipe


def _chosen(asked: Asked) -> tuple[Candidate, str]:
    """A model for somebody who names none, and why it is this one."""
    cached = cached_models()
    if asked.device is None:
        small = next((one for one in cached if parameters_of(one) <= _MOST_CPU), None)
        if small is not None:
            return small, "the largest of the Hub cache that a CPU can train in reasonable time"
        return named_model(_CPU_MODEL), "small enough for a CPU"
    best, reason = _best_offered(asked)
    for one in cached:
        close = parameters_of(one) * _MUCH_SMALLER >= parameters_of(best)
        if close and _suits(asked, settle(asked, one)):
            return one, "the largest of the Hub cache that fits and trains in half a day"
    return best, reason


def _best_offered(asked: Asked) -> tuple[Candidate, str]:
    settled = [settle(asked, one) for one in offered_models()]
    for one in settled:
        if _suits(asked, one):
            return one.model, "the largest open model of today that fits and trains in half a day"
    fitting = next((one for one in reversed(settled) if one.fits), settled[-1])
    return fitting.model, "the smallest: larger ones do not fit rows of this length, or take too long"


def _suits(asked: Asked, one: Settled) -> bool:
    """Whether it fits well with rows of this length, and is trained in half a day."""
    short = one.recipe.data.max_length < asked.lengths.wanted and one.recipe.data.overlength == "truncate"
    return one.has_room and not short and (one.time.seconds is None or one.time.seconds[1] <= _LONG)


def _measured(asked: Asked, settled: Settled, progress: Progress | None) -> tuple[Asked, Settled]:
    """The same with the model's own tokenizer and template."""
    model = settled.model
    folder = model_directory(model.name, asked.given.get("model.revision"))
    own = "data.chat_template" in asked.given or asked.facts.formats == ("text",)
    if not own and not has_chat_template(folder):
        asked = replace(asked, template="chatml")
        settled = settle(asked, model)
    lengths = _lengths(settled, asked.facts, progress)
    rewritten = lengths.found("template-rewrites-history", "reasoning-dropped")
    if rewritten and asked.facts.several_turns and "data.sequence_per" not in asked.given:
        asked = replace(asked, per_turn=True)
        lengths = _lengths(settle(asked, model), asked.facts, progress)
    asked = replace(asked, lengths=lengths)
    return asked, settle(asked, model)


def _lengths(settled: Settled, facts: RowFacts, progress: Progress | None) -> Lengths:
    lengths = measured_lengths(settled.recipe, facts, progress)
    if lengths is None:
        raise InputError(
            "no row becomes a sequence under this model's chat template: expected at least one",
            file=facts.sources[0].path,
            hint="see what is wrong with them: sftui check RECIPE",
        )
    return lengths


def _notes(asked: Asked, settled: Settled, reason: str) -> Iterator[str]:
    facts, lengths, recipe = asked.facts, asked.lengths, settled.recipe
    kinds = " and ".join(str(kind).replace("_", " and ") for kind in facts.formats)
    many = counted(facts.count, "row") if facts.counted else f"{facts.count:,} or more rows"
    rows = f"{many} ({kinds})"
    about = "" if lengths.tokenised else "about "
    yield (
        f"Data:   {rows}, {about}{count(lengths.tokens)} tokens; {about}{round(lengths.mean):,} a sequence, "
        f"99% at most {lengths.at(99):,}, the longest {lengths.at(100):,}"
        + ("" if lengths.tokenised else " (by characters: the tokenizer is not on this machine yet)")
    )
    if facts.renamed:
        pairs = ", ".join(f"{theirs} is taken for {ours}" for ours, theirs in facts.renamed.items())
        yield f"Columns: {pairs}"
    if reason:
        yield f"Model:  {settled.model.short_name}: {reason}; --model names another"
    if settled.model.gated:
        yield "Access: gated: accept its licence on its page on the Hub, then hf auth login"
    yield f"Memory: {_memory(settled)}"
    if asked.device is None:
        yield "Device: no GPU is seen here: this recipe is for the CPU, to try things out"
    yield f"Batch:  as made, {settled.draft.as_made}"
    time = settled.time
    if time.seconds is not None:
        fast, slow = map(duration, time.seconds)
        yield f"Time:   {counted(settled.steps, 'step')}, {fast} to {slow} ({time.basis})"
    else:
        yield f"Time:   {counted(settled.steps, 'step')}; how long is not known: {time.no_time}"
    for message in worst(lengths.findings, _SHOWN):
        yield f"Check:  {message}"
    if recipe.data.bad_rows == "drop" and facts.problem:
        yield f"Rows:   left out, as the first: {facts.problem.splitlines()[0]}"


def _memory(settled: Settled) -> str:
    found = settled.answer
    if found is None:
        return "not known for this family of models without a simulation: sftui estimate RECIPE"
    most = f"at most {size(found.band.high)}"
    if found.verdict in (None, "fits"):
        return f"fits: {room(found)} ({most})" if found.device else room(found)
    said = "may just fit" if found.verdict == "tight" else "does not fit"
    return f"{said}: {room(found)} ({most}); sftui estimate RECIPE says what would help"


def _method(settled: Settled) -> str:
    recipe, device = settled.recipe, settled.answer.device if settled.answer else None
    if recipe.adapter is None:
        method = "all weights"
    else:
        method = "LoRA" if recipe.model.quantization == "none" else "QLoRA"
    where = f" on {device.name}" if device else ""
    return f"{method} of {settled.model.short_name}{where}"


def _name(sources: Sequence[Source]) -> str:
    return ", ".join(source.path.rsplit("/", 1)[-1] for source in sources)
