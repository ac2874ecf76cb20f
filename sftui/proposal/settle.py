"""What follows from a model, rows, lengths and a device: each value of a recipe, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Literal

from sftui.forecast import evaluations, steps_of
from sftui.forecast_time import Epoch, Time, time_of
from sftui.memory.answer import Answer, answer
from sftui.memory.band import fits_on
from sftui.memory.device import Device
from sftui.memory.fit import longest
from sftui.memory.known import Known
from sftui.memory.levers import LENGTH_STEP, changed
from sftui.memory.measured import measured_on
from sftui.packing_support import refusal
from sftui.proposal.batch import FILL, estimate_of, sequences_a_step, set_batch, with_room_left
from sftui.proposal.draft import Draft
from sftui.proposal.lengths import Lengths, rounded_up
from sftui.proposal.models import Candidate, parameters
from sftui.proposal.rows import RowFacts
from sftui.recipe import Recipe, Source
from sftui.runs.rates import Rate
from sftui.words import counted, share, size

Method = Literal["auto", "qlora", "lora", "full"]

_SHORTEST_BIN = 2048  # tokens: shorter bins leave a GPU idle
_CPU_LENGTH = 1024
_CPU_STEPS = 50
_LARGE = 10e9  # parameters, from which on a smaller rate is better
_LOST = 0.01  # of the rows, that may be dropped without a word on truncation


@dataclass(frozen=True, slots=True)
class Settled:
    """A recipe for one model on one device.

    `answer` is None where the closed form does not know the model. `steps` are optimizer steps,
    `time` is what they take, or why that is not known.
    """

    model: Candidate
    draft: Draft
    recipe: Recipe
    answer: Answer | None
    steps: int
    time: Time

    @property
    def has_room(self) -> bool:
        """Whether it would with rows of 2,048 tokens, if its own are shorter, and some of the device left."""
        found, shape = self.answer, self.model.shape
        if found is None or found.device is None or shape is None:
            return self.fits
        length = min(_SHORTEST_BIN, self.model.context or _SHORTEST_BIN)
        rows = {
            "data.max_length": max(length, self.recipe.data.max_length),
            "training.per_device_train_batch_size": 1,
            "training.gradient_checkpointing": True,
        }
        made = changed(self.recipe, rows)
        fits = fits_on(with_room_left(found.device), measured_on(found.device.name))
        return (
            self.fits
            and made is not None
            and fits(made, estimate_of(made, shape, Known(capability=found.device.capability)))
        )

    @property
    def fits(self) -> bool:
        """Whether it fits with certainty, as far as that is known; a CPU has room for what is small."""
        return self.answer is None or self.answer.verdict in (None, "fits")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a recipe is to be made of. `device` None: no GPU. `given` are values by dotted key."""

    sources: Sequence[Source]
    facts: RowFacts
    lengths: Lengths
    device: Device | None
    method: Method
    given: Mapping[str, Any]
    rates: Sequence[Rate] = ()
    """What runs of earlier reached on this machine."""
    template: str | None = None
    """One of our chat templates, for a model that has none."""
    per_turn: bool = False
    """A sequence for each turn: the template rewrites what came before."""


def settle(asked: Asked, model: Candidate) -> Settled:
    """The recipe for this model. Raises nothing: what does not fit is in the answer's verdict."""
    methods: list[Method] = [asked.method]
    if asked.method == "auto":
        methods = ["lora"] if asked.device is None or model.shape is None else ["lora", "qlora"]
        if asked.device is not None and model.shape is None:
            methods = ["qlora"]
    if asked.given.get("model.quantization") not in (None, "none"):
        methods = ["qlora"]
    found = [_settled(asked, model, method) for method in methods]
    # LoRA where it fits as it is wanted, since it is faster; else QLoRA, even where that does not fit either.
    whole = [one for one in found if one.has_room and not _cut_short(asked, one)]
    return whole[0] if whole else found[-1]


def _cut_short(asked: Asked, one: Settled) -> bool:
    """Whether rows are lost that the model could read."""
    return one.recipe.data.max_length < min(asked.lengths.wanted, one.model.context or asked.lengths.wanted)


def _settled(asked: Asked, model: Candidate, method: Method) -> Settled:
    draft = Draft(asked.sources, asked.given)
    _model(draft, asked, model, method)
    _data(draft, asked)
    _training(draft, asked, model)
    _length(draft, asked, model)
    set_batch(draft, asked, model)
    recipe = draft.recipe()
    steps, time = _schedule(asked, model, recipe)
    if asked.device is None and not draft.has("training.max_steps") and steps > _CPU_STEPS:
        epochs = recipe.training.num_train_epochs
        whole = "one epoch is" if epochs == 1 else f"all {epochs:g} epochs are"
        draft.as_made += f"; {whole} {counted(steps, 'step')}"
        draft.set("training.max_steps", _CPU_STEPS, "enough for a first run on a CPU; -1 for all epochs")
        recipe = draft.recipe()
        steps, time = _schedule(asked, model, recipe)
    found = None
    if model.shape is not None:
        history = () if asked.device is None else measured_on(asked.device.name)
        found = answer(
            recipe, model.shape, asked.device, longest=asked.lengths.longest, history=_other(history)
        )
    return Settled(model, draft, recipe, found, steps, time)


def _other(history: Sequence[Any]) -> Sequence[Any]:
    """Runs whose model is not looked up again: the band follows from what they took alone."""
    return [replace(one, config="") for one in history]


def _model(draft: Draft, asked: Asked, model: Candidate, method: Method) -> None:
    device = asked.device
    draft.full = method == "full"
    draft.set("model.name_or_path", model.name)
    if method == "qlora":
        why = "weights in 4 bits: in 16 they do not fit with rows of this length"
        if model.shape is None:
            why = "weights in 4 bits: the surest to fit"
        draft.set("model.quantization", "nf4", why if asked.method == "auto" else "as asked for")
    else:
        why = "LoRA on 16-bit weights fits, and is faster than QLoRA" if method == "lora" and device else ""
        draft.set("model.quantization", "none", why if asked.method == "auto" else "")
    if device is None:
        draft.set("model.dtype", "float32", "no GPU here: what CPUs are fastest in")
    elif device.capability is not None and device.capability < (8, 0):
        draft.set("model.dtype", "float16", f"{device.name} has no bfloat16")
    if method == "full":
        draft.set("adapter", None, "all weights are trained, as asked for")
    else:
        draft.set("adapter.r", 16)
        draft.set("adapter.lora_alpha", 32)


def _data(draft: Draft, asked: Asked) -> None:
    facts = asked.facts
    if facts.completions and facts.several_turns:
        draft.set("data.train_on", "completion", "rows say where the completion begins")
    elif facts.formats != ("text",):
        draft.set("data.train_on", "assistant", "answers are trained, what is asked is not")
    if facts.unreadable or asked.lengths.found("unreadable-row", "role-order-refused", "template-failure"):
        bad = max(
            facts.unreadable,
            asked.lengths.found("unreadable-row", "role-order-refused", "template-failure"),
        )
        draft.set("data.bad_rows", "drop", f"{counted(bad, 'row')} cannot be used: sftui check names them")
    if asked.per_turn:
        why = "the chat template drops or rewrites earlier turns: this keeps all as the model sees them"
        draft.set("data.sequence_per", "turn", why)
    if asked.template:
        draft.set("data.chat_template", asked.template, "the model has no chat template of its own")
    if draft.has("data.eval") or draft.has("data.eval_fraction"):
        return
    rows = asked.facts.count
    wanted = 16 if asked.device is None else 200
    fraction = min(0.05, round(wanted / rows, 3 if rows > wanted * 100 else 2))
    if rows >= 40 and round(fraction * rows) > 0:
        held_out = round(fraction * rows)
        draft.set("data.eval_fraction", fraction, f"{counted(held_out, 'row')} held out, to see it learn")


def _training(draft: Draft, asked: Asked, model: Candidate) -> None:
    rows = asked.facts.count
    plain = asked.facts.formats == ("text",)
    epochs = 1 if plain or rows >= 20_000 else 2 if rows >= 1000 else 3
    why = {
        1: "many rows: once is enough" if not plain else "plain text: once is enough",
        2: "thousands of rows: twice",
        3: "few rows: three times; watch the evaluation loss",
    }[epochs]
    draft.set("training.num_train_epochs", epochs, why)
    large = parameters(model) >= _LARGE
    if draft.full:
        rate, why = (1.0e-5 if large else 2.0e-5), "of all weights: a tenth of an adapter's"
    elif large:
        rate, why = 1.0e-4, "large models want smaller rates"
    else:
        rate, why = 2.0e-4, "usual for an adapter"
    draft.set("training.learning_rate", rate, why)
    if asked.device is None and draft.value("data.eval_fraction"):
        draft.set("training.eval_steps", 0.5, "evaluation takes long on a CPU")


def _length(draft: Draft, asked: Asked, model: Candidate) -> None:
    """`max_length`, what happens to longer rows, and whether sequences share bins."""
    lengths, device = asked.lengths, asked.device
    most = min(lengths.wanted, model.context or lengths.wanted)
    if device is None:
        most = min(most, _CPU_LENGTH)
    packs = device is not None and refusal(model.config) is None and lengths.mean <= 0.5 * max(most, 512)
    draft.set("training.per_device_train_batch_size", 1)
    draft.set("training.gradient_accumulation_steps", 8)
    if packs:
        draft.set("data.packing", "best_fit", "sequences share bins of max_length: no padding")
    elif device is not None and (reason := refusal(model.config)):
        draft.set("data.packing", "none", reason)
    draft.set("data.max_length", most)
    room = _longest_that_fits(draft, asked, model, most)
    length = min(most, room)
    if draft.value("data.packing") not in (None, "none"):
        step = sequences_a_step(asked) * lengths.mean
        bin_size = max(length, rounded_up(int(min(_SHORTEST_BIN, step))))
        length = max(length, min(bin_size, room, model.context or bin_size))
    longest_word = "" if lengths.tokenised else "about "
    longest = lengths.at(100)
    if lengths.share_longer(length) == 0:
        why = f"the longest row has {longest_word}{longest:,} tokens"
        if length > rounded_up(longest):
            why = f"a bin for several rows; {why}"
    else:
        if room < most:
            limit = "more does not fit"
        elif device is None and most == _CPU_LENGTH:
            limit = "longer ones take long on a CPU"
        else:
            limit = "the model reads no more" if most < lengths.wanted else "few are longer"
        why = f"{share(1 - lengths.share_longer(length))} of the rows are no longer: {limit}"
    draft.set("data.max_length", length, why)
    kept = draft.value("data.max_length")
    if lengths.share_longer(kept) > _LOST:
        draft.set("data.overlength", "truncate", "some rows are longer; drop would leave them out")


def _longest_that_fits(draft: Draft, asked: Asked, model: Candidate, most: int) -> int:
    if asked.device is None or model.shape is None:
        return most if asked.device is None else min(most, _SHORTEST_BIN)
    recipe = draft.recipe()
    fits = fits_on(with_room_left(asked.device), measured_on(asked.device.name))
    limit = max(most, _SHORTEST_BIN)
    found = longest(
        recipe, model.shape, fits, limit - limit % LENGTH_STEP, Known(capability=asked.device.capability)
    )
    return found.value if found is not None else min(most, 512)


def _epoch(recipe: Recipe, lengths: Lengths) -> Epoch:
    """One pass over what is left of the rows, as `forecast` has it once they are packed."""
    data = recipe.data
    drops = data.overlength == "drop"
    kept = (1 - data.eval_fraction) * (1 - drops * lengths.share_longer(data.max_length))
    sequences = max(1, round(lengths.sequences * kept))
    tokens = max(1, round(sequences * lengths.mean_within(data.max_length, drops=drops)))
    bins = sequences if data.packing == "none" else max(1, ceil(tokens / (FILL * data.max_length)))
    return Epoch(bins, sequences, tokens)


def _schedule(asked: Asked, model: Candidate, recipe: Recipe) -> tuple[int, Time]:
    """Optimizer steps, and how long they take with evaluations."""
    training, epoch = recipe.training, _epoch(recipe, asked.lengths)
    steps = steps_of(training, epoch.rows) or 1
    epochs = training.num_train_epochs
    if training.max_steps > 0:
        rows = training.per_device_train_batch_size * training.gradient_accumulation_steps
        epochs = steps * rows / epoch.rows
    held_out = epoch.tokens * recipe.data.eval_fraction / (1 - recipe.data.eval_fraction)
    evaluated = evaluations(recipe, steps) * held_out
    return steps, time_of(recipe, asked.device, model.shape, epoch, epochs, evaluated, asked.rates)


def room(answer: Answer) -> str:
    """`9.7 of 23.5 GiB free on NVIDIA RTX 4090`; without a GPU, what it takes."""
    if answer.device is None:
        return f"about {size(answer.ram_bytes)} of RAM"
    needed, unit = size(answer.band.typical).split(" ")
    free = size(answer.device.free_bytes)
    usual = needed if free.endswith(unit) else f"{needed} {unit}"
    return f"{usual} of {free} free on {answer.device.name}"
