"""Bytes of an optimizer: states that stay, and what a step takes besides."""

from __future__ import annotations

from dataclasses import dataclass

from sftui.memory.tape import BLOCK, rounded
from sftui.memory.weights import Trained
from sftui.recipe import Optimizer

# bitsandbytes/optim/optimizer.py
_SMALL = 4096  # elements: states of fewer stay float32 in 8-bit optimizers
_PAGED_FROM = 100_000  # elements: states of as many or more are managed memory in paged optimizers
_STATE_BLOCK = 256  # elements that share a scale
_CODES = 256 * 4  # bytes of a table of 8-bit values

_STATES = {
    "lion_32bit": 1,
    "lion_8bit": 1,
    "paged_adamw_32bit": 2,
    "paged_adamw_8bit": 2,
    "adamw_bnb_8bit": 2,
}
_EIGHT_BITS = ("adamw_bnb_8bit", "paged_adamw_8bit", "lion_8bit")


@dataclass(frozen=True, slots=True)
class OptimizerBytes:
    """`states` live between steps, `transient` while the optimizer steps."""

    states: int
    transient: int


def optimizer_bytes(optimizer: Optimizer, trained: tuple[Trained, ...]) -> OptimizerBytes:
    """The bytes of an optimizer for these parameters, each tensor rounded up, on the device."""
    if optimizer == "adamw_torch":
        return OptimizerBytes(_twice(trained), _foreach(trained))
    if optimizer == "adamw_torch_fused":
        # Its count of steps is a number on the device for each parameter.
        return OptimizerBytes(_twice(trained) + BLOCK * sum(part.count for part in trained), 0)
    if optimizer == "sgd":
        return OptimizerBytes(0, 0)
    if optimizer == "adafactor":
        # The size of each parameter's values is kept as a number on the device.
        states = sum((_factored(part) + BLOCK) * part.count for part in trained)
        return OptimizerBytes(states, _adafactor(trained))
    return OptimizerBytes(_bitsandbytes(optimizer, trained), 0)


def _twice(trained: tuple[Trained, ...]) -> int:
    """Two moments in the type of the parameter."""
    return sum(2 * rounded(part.size * part.width) * part.count for part in trained)


def _foreach(trained: tuple[Trained, ...]) -> int:
    """AdamW over all parameters at once holds the roots of all second moments; those that decay, and norms
    and biases, are two groups that step one after the other (torch/optim/adamw.py, _multi_tensor_adam).
    """
    groups = [0, 0]
    for part in trained:
        groups[not part.columns] += rounded(part.size * part.width) * part.count
    return max(groups)


def _factored(part: Trained) -> int:
    """Adafactor's second moments: a float32 a row and a column, of vectors one an element."""
    if not part.columns:
        return rounded(4 * part.size)
    return rounded(4 * part.rows) + rounded(4 * part.columns * part.stacked)


def _adafactor(trained: tuple[Trained, ...]) -> int:
    """Parameters step one after the other (transformers/optimization.py): the update squared and copied,
    gradient and weight in float32 where they are of half precision, beside the update of the one before.
    """
    most = 0
    for part in trained:
        copies = 4 if part.width < 4 else 2
        most = max(most, copies * rounded(4 * part.size) + rounded(4 * part.before))
    return most


def _bitsandbytes(optimizer: Optimizer, trained: tuple[Trained, ...]) -> int:
    states, eight = _STATES[optimizer], optimizer in _EIGHT_BITS
    paged = optimizer.startswith("paged")
    total, tables = 0, False
    for part in trained:
        size = part.size
        # transformers keeps states of embeddings in float32.
        small = not eight or size < _SMALL or part.embedding
        each = rounded(4 * size) if small else rounded(size)
        if paged and size >= _PAGED_FROM:
            each = 0
        if not small:
            each += rounded(4 * -(-size // _STATE_BLOCK))
            tables = True
        total += states * each * part.count
    return total + (states * rounded(_CODES) if tables else 0)
