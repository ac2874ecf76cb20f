"""Whether rates, warm-up, evaluations and checkpoints are as people mean them."""

from __future__ import annotations

from collections.abc import Iterator

from sftui.checks.facts import Facts
from sftui.checks.finding import Finding, found
from sftui.memory.modules import projections
from sftui.memory.shape import ModelShape

# Usual rates: LoRA 1e-4 to 3e-4 whatever the size, all weights 1e-6 to 5e-5.
_LORA_RATES = (5e-6, 1e-3)
_FULL_RATES = (1e-7, 1e-4)
# Models smaller than this are toys, whose rates are far higher.
_SMALLEST_MODEL = 50_000_000
_LONGEST_WARMUP = 0.5

_RATE, _WARMUP = "training.learning_rate", "training.warmup_steps"


def schedule_findings(facts: Facts) -> Iterator[Finding]:
    """About the training section."""
    yield from _rate(facts)
    yield from _warmup(facts)
    yield from _evaluation(facts)
    training, steps = facts.recipe.training, facts.steps
    if training.save_strategy == "steps" and steps is not None and training.save_steps > max(1, steps):
        yield found(
            "no-checkpoint",
            "training.save_steps",
            f"found {training.save_steps:g} of {steps:,} steps: no checkpoint is written before the end, and "
            "a run that is lost begins anew",
            "expected fewer; below 1 it is a share of all steps",
            {"training.save_steps": 0.1},
        )


def _rate(facts: Facts) -> Iterator[Finding]:
    training = facts.recipe.training
    if training.optim == "sgd" or (facts.shape is not None and _size(facts.shape) < _SMALLEST_MODEL):
        return
    full = facts.recipe.adapter is None
    method, usual = ("all weights", "1e-6 to 5e-5") if full else ("LoRA", "1e-4 to 3e-4")
    low, high = _FULL_RATES if full else _LORA_RATES
    rate = training.learning_rate
    said = f"found {rate:g}; usual for {method} are {usual}"
    values = {_RATE: 2e-5 if full else 2e-4}
    if rate > high:
        yield found(
            "learning-rate-high", _RATE, f"{said}: such steps often spoil what the model knows", None, values
        )
    elif rate < low:
        yield found("learning-rate-low", _RATE, f"{said}: such steps hardly change anything", None, values)


def _size(shape: ModelShape) -> int:
    """Its parameters without norms, those of experts counted once for all."""
    layers = sum(part.inputs * part.outputs for kind in shape.layers for part in projections(shape, kind))
    return layers + shape.vocab * shape.hidden * (1 if shape.tied else 2)


def _warmup(facts: Facts) -> Iterator[Finding]:
    training = facts.recipe.training
    warmup, steps = training.warmup_steps, facts.steps
    if training.lr_scheduler_type == "constant":
        if warmup and "warmup_steps" in training.model_fields_set:
            yield found(
                "warmup-unused",
                _WARMUP,
                f"found {warmup:g}, and lr_scheduler_type constant has no warm-up",
                "expected constant_with_warmup, or 0",
                {"training.lr_scheduler_type": "constant_with_warmup"},
            )
        return
    if warmup >= 1 and steps is not None and warmup >= steps:
        text = f"found {warmup:g} of {steps:,} steps: the learning rate never reaches its peak"
    elif _LONGEST_WARMUP <= warmup < 1:
        text = f"found {warmup:g}: for that share of all steps the learning rate only rises"
    else:
        return
    yield found("warmup-too-long", _WARMUP, text, "usual is 0.03 to 0.1 of all steps", {_WARMUP: 0.03})


def _evaluation(facts: Facts) -> Iterator[Finding]:
    data, training, steps = facts.recipe.data, facts.recipe.training, facts.steps
    hint = "expected data.eval, or data.eval_fraction"
    if not data.eval and not data.eval_fraction:
        asked = [name for name in ("eval_strategy", "eval_steps") if name in training.model_fields_set]
        if asked and training.eval_strategy != "no":
            text = "no rows are held out: nothing is evaluated"
            values = {"data.eval_fraction": 0.05}
            yield found("evaluation-without-data", f"training.{asked[0]}", text, hint, values)
        if training.sample_rows:
            text = f"found {training.sample_rows}, and no rows are held out for the model to answer"
            yield found("no-samples", "training.sample_rows", text, hint, {"data.eval_fraction": 0.05})
        return
    if training.eval_strategy == "no":
        when = "before the first step" if training.eval_on_start else "never, unless asked for"
        key = "data.eval_fraction" if data.eval_fraction else "data.eval"
        yield found(
            "held-out-unused",
            key,
            f"rows are held out and evaluated {when}: training.eval_strategy is no",
            values={"training.eval_strategy": "steps"},
        )
    elif training.eval_strategy == "steps" and steps is not None and training.eval_steps > max(1, steps):
        yield found(
            "evaluation-at-ends",
            "training.eval_steps",
            f"found {training.eval_steps:g} of {steps:,} steps: nothing is evaluated before the last",
            values={"training.eval_steps": 0.1},
        )
