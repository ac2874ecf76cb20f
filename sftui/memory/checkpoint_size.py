"""Bytes on disk of a run: its checkpoints, and its result."""

from __future__ import annotations

import math
from dataclasses import dataclass
from math import isqrt

from sftui.memory.estimate import Parameters
from sftui.memory.modules import plan
from sftui.memory.optimizer import optimizer_bytes
from sftui.memory.shape import ModelShape
from sftui.memory.step import step_of
from sftui.memory.weights import WIDTHS, Trained, held
from sftui.recipe import Optimizer, Recipe, TrainingSection

# Measured on checkpoints of transformers 5.23, torch 2.13 and safetensors 0.7.
_WEIGHT = 128  # bytes of a tensor's name, type and place in a safetensors file
_STATE = 272  # bytes of a tensor's records in a file of torch.save
_SMALL_FILES = 32_000  # README, configurations, scheduler, random states, arguments, the trainer's state
_TOKEN = 100  # bytes of an entry of the vocabulary in a tokenizer.json: 70 to 135
_VOCAB = 150_000  # entries where they are not known

# Optimizers of the same states whose bytes all count on the device: how many times those of which.
_UNPAGED: dict[Optimizer, tuple[int, Optimizer]] = {
    "paged_adamw_8bit": (1, "adamw_bnb_8bit"),
    "paged_adamw_32bit": (2, "lion_32bit"),
    "adamw_torch_fused": (1, "adamw_torch"),
}
# Tensors that an optimizer keeps of a parameter: states, scales of 8-bit states, counts of steps.
_TENSORS: dict[Optimizer, int] = {
    "adamw_torch": 3,
    "adamw_torch_fused": 3,
    "adamw_bnb_8bit": 4,
    "paged_adamw_32bit": 2,
    "paged_adamw_8bit": 4,
    "lion_32bit": 1,
    "lion_8bit": 2,
    "adafactor": 3,
    "sgd": 0,
}


@dataclass(frozen=True, slots=True)
class DiskUse:
    """Bytes that a run writes, within some percent.

    `checkpoint` is one of them, weights and optimizer states; `kept` how many stay at most; `result` the
    adapter or model with its tokenizer. `peak` is the most at any time: a checkpoint is written beside those
    that stay, before the oldest is removed.
    """

    checkpoint: int
    kept: int
    result: int
    peak: int

    @property
    def left(self) -> int:
        """What is there when the run has ended."""
        return self.kept * self.checkpoint + self.result


def disk_needed(recipe: Recipe, model: ModelShape | Parameters) -> DiskUse:
    """What a run of the recipe writes; under 1 ms.

    `model` is the shape, or, of an architecture that is not known, how many parameters there are. With
    save_strategy no there are no checkpoints, unless somebody stops the run.
    """
    if isinstance(model, ModelShape):
        spec = step_of(recipe, model)
        made = plan(model, spec.adapter)
        trained = held(model, spec, made).trained
        # PEFT saves an embedding or head that it adapts, too (utils/save_and_load.py).
        adapted = made.embedding_adapted + made.head_adapted
        beside = adapted * model.vocab * model.hidden * WIDTHS[spec.weight_dtype]
        vocab = model.vocab
    else:
        trained, beside, vocab = (_square(recipe, model),), 0, _VOCAB
    count = sum(part.count for part in trained)
    weights = sum(part.size * part.width * part.count for part in trained) + beside + _WEIGHT * count
    checkpoint = weights + _states(recipe.training.optim, trained, count) + _SMALL_FILES
    result = weights + _TOKEN * vocab
    saved = _saves(recipe.training)
    kept = min(recipe.training.save_total_limit, saved)
    before_last = (kept + 1) * checkpoint if saved > kept else 0
    return DiskUse(checkpoint, kept, result, max(before_last, kept * checkpoint + result))


def _square(recipe: Recipe, parameters: Parameters) -> Trained:
    """All trained parameters as one square matrix: nothing is known but their number."""
    if recipe.adapter is not None:
        width = WIDTHS[recipe.adapter.dtype]
    else:
        # Weights in float16 are trained in float32.
        width = max(WIDTHS[recipe.model.dtype], 4 * (recipe.model.dtype == "float16"))
    side = max(1, isqrt(parameters.trainable))
    return Trained(-(-parameters.trainable // side), side, width)


def _states(optimizer: Optimizer, trained: tuple[Trained, ...], count: int) -> int:
    times, counted = _UNPAGED.get(optimizer, (1, optimizer))
    return times * optimizer_bytes(counted, trained).states + _STATE * _TENSORS[optimizer] * count


def _saves(section: TrainingSection) -> int:
    """Checkpoints that a run writes: as many as are kept and one more where that is not known."""
    if section.save_strategy == "no":
        return 0
    steps = section.max_steps if section.max_steps > 0 else None
    if section.save_strategy == "epoch":
        known = math.ceil(section.num_train_epochs) if steps is None else None
    elif section.save_steps < 1:
        # transformers rounds up what it makes of a share, so that there are no more.
        known = math.ceil(1 / section.save_steps)
        known = known if steps is None else math.ceil(steps / math.ceil(steps * section.save_steps))
    else:
        known = None if steps is None else math.ceil(steps / section.save_steps)
    return section.save_total_limit + 1 if known is None else known
