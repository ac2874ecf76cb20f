"""The largest micro-batch of the data, tried before step 1: out of memory happens now or never."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from heapq import nsmallest
from itertools import pairwise
from typing import Any

import torch

from sftui import words
from sftui.training.batch import SequenceDataset
from sftui.training.bins import BinDataset
from sftui.training.failure import is_out_of_memory
from sftui.training.held import bytes_of, optimizer_state_bytes, states_to_come
from sftui.training.trainer import SftTrainer

log = logging.getLogger("sftui")

Batch = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trial:
    """What was tried: `rows` rows, or bins, of up to `length` tokens, `tokens` with their padding.

    `where` says where the sequences stand. `peak_bytes` is the most that was allocated, None where nothing
    counts it or where it was not enough.
    """

    tokens: int
    rows: int
    length: int
    where: tuple[str, ...]
    seconds: float
    peak_bytes: int | None

    def as_event(self) -> dict[str, Any]:
        """The fields of the `trial` event."""
        return {**asdict(self), "where": list(self.where)}

    def sentence(self) -> str:
        """The result in a line of a log."""
        size = f"{self.rows:,} x {self.length:,} tokens"
        if self.peak_bytes is None:
            return f"tried the largest batch: {size} in {self.seconds:.1f} s"
        took = words.size(self.peak_bytes)
        return f"tried the largest batch: {size} in {self.seconds:.1f} s, at most {took}"


def is_worth_it(where: torch.device) -> bool:
    """Whether batches are tried here: on a GPU it takes seconds, on a CPU as long as training does."""
    return where.type == "cuda"


def try_largest(trainer: SftTrainer) -> Trial:
    """Forward and backward of the largest micro-batch, as in a step, and forward of the largest evaluation.

    To be called when training has begun: the model is wrapped, its optimizer made. Where gradients are
    accumulated it goes through twice, the second time beside the gradients of the first; bytes are held for
    states that the optimizer does not have yet. Random states, gradients, and what the trainer counts are
    left as they were: training gives the same weights to the last bit.
    """
    started = time.monotonic()
    micro_batches = [_Chosen.of(trainer, numbers) for numbers in _largest_of(trainer)]
    tried = micro_batches[0]
    peaks: list[int] = []
    failure: Exception | None = None
    try:
        with _left_alone(trainer), _states_held(trainer):
            peaks += _train_on(trainer, micro_batches)
            peaks += _evaluate(trainer)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        failure = error
    result = Trial(
        tokens=tried.tokens,
        rows=len(tried.lengths),
        length=max(tried.lengths),
        where=tried.where,
        seconds=round(time.monotonic() - started, 3),
        peak_bytes=None if failure else max(peaks, default=None),
    )
    if trainer.journal:
        trainer.journal.event("trial", **result.as_event())
    if failure:
        raise failure
    if trainer.journal:
        log.info(result.sentence())
    return result


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A micro-batch on the device, with what is said of it."""

    batch: Batch
    lengths: tuple[int, ...]
    where: tuple[str, ...]

    @property
    def tokens(self) -> int:
        """With padding."""
        return int(self.batch["input_ids"].numel())

    @classmethod
    def of(cls, trainer: SftTrainer, numbers: list[int]) -> _Chosen:
        """The micro-batch of these items of the dataset."""
        data = trainer.train_dataset
        batch = trainer.training_batch([data[number] for number in numbers])
        lengths = token_counts(data)
        places = dict.fromkeys(data.sequences[row].where for row in batch["rows"])
        return cls(batch, tuple(lengths[number] for number in numbers), tuple(places))


def largest(dataset: SequenceDataset | BinDataset, size: int) -> list[int]:
    """Numbers of the `size` items with most tokens; of equals those with most trained tokens."""
    return _first_by(size, token_counts(dataset), trained_counts(dataset))


def most_trained(dataset: SequenceDataset | BinDataset, size: int) -> list[int]:
    """Numbers of the `size` items with most trained tokens; of equals those with most tokens."""
    return _first_by(size, trained_counts(dataset), token_counts(dataset))


def token_counts(dataset: SequenceDataset | BinDataset) -> list[int]:
    """The tokens of each item."""
    if isinstance(dataset, BinDataset):
        return [int(count) for count in dataset.layout.tokens()]
    return [len(sequence) for sequence in dataset.sequences]


def trained_counts(dataset: SequenceDataset | BinDataset) -> list[int]:
    """The trained tokens of each item; the first of a sequence never is one."""
    sequences = dataset.sequences
    if not isinstance(dataset, BinDataset):
        return [sequence.trained.count(1, 1) for sequence in sequences]
    layout = dataset.layout
    pieces = zip(layout.sequences.tolist(), layout.starts.tolist(), layout.ends.tolist(), strict=True)
    counts = [sequences[number].trained.count(1, start + 1, end) for number, start, end in pieces]
    offsets = layout.offsets.tolist()
    return [sum(counts[start:end]) for start, end in pairwise(offsets)]


def _first_by(size: int, keys: list[int], others: list[int]) -> list[int]:
    return nsmallest(size, range(len(keys)), key=lambda at: (-keys[at], -others[at], at))


def _largest_of(trainer: SftTrainer) -> list[list[int]]:
    """Most tokens first; then, if it has more of them, the one with most trained tokens."""
    data, size = trainer.train_dataset, trainer.args.per_device_train_batch_size
    most, trained, counts = largest(data, size), most_trained(data, size), trained_counts(data)
    more = sum(counts[at] for at in trained) > sum(counts[at] for at in most)
    return [most, trained] if more else [most]


def _train_on(trainer: SftTrainer, micro_batches: list[_Chosen]) -> list[int]:
    """The peaks of the moments of a step without its update."""
    where, steps = trainer.args.device, trainer.args.gradient_accumulation_steps
    model: Any = trainer.model_wrapped
    accumulates = steps > 1
    tensors = [each for each in micro_batches[0].batch.values() if isinstance(each, torch.Tensor)]
    # All micro-batches of a step are on the device before the first of them goes in.
    waiting = bytes_of(tensors, where) * max(0, steps - len(micro_batches))
    held = torch.empty(waiting, dtype=torch.uint8, device=where)
    trainer.moments.measure(max(each.tokens for each in micro_batches))
    passes = micro_batches if len(micro_batches) > 1 or not accumulates else micro_batches * 2
    for each in passes:
        with trainer.accelerator.no_sync(model):
            trainer.training_step(model, each.batch, torch.ones((), device=where))
        if not accumulates:
            model.zero_grad()
    if where.type == "cuda":
        torch.cuda.synchronize(where)
    readings = trainer.moments.tell(0, trainer.optimizer)
    model.zero_grad()
    del held
    return [each.peak for each in readings.values()]


@contextmanager
def _states_held(trainer: SftTrainer) -> Iterator[None]:
    """Bytes in place of the optimizer's states; a resumed run has them."""
    where = trainer.args.device
    there = optimizer_state_bytes(trainer.optimizer, where)
    missing = max(0, states_to_come(trainer.model, trainer.recipe.training.optim) - there)
    held = torch.empty(missing, dtype=torch.uint8, device=where)
    trainer.moments.hold(missing)
    try:
        yield
    finally:
        trainer.moments.hold(0)
        del held


def _evaluate(trainer: SftTrainer) -> list[int]:
    """The peak of the largest batch of an evaluation, if there is any."""
    data: Any = trainer.eval_dataset
    if data is None:
        return []
    where = trainer.args.device
    numbers = largest(data, trainer.args.per_device_eval_batch_size)
    batch = trainer._prepare_inputs(trainer.data_collator([data[number] for number in numbers]))
    targets = batch.pop("labels")
    del batch["rows"]
    trainer.moments.evaluation_begins()
    trainer.model.eval()
    with torch.no_grad():
        trainer.add_losses(torch.zeros(3, dtype=torch.float64, device=where), batch, targets)
    readings = trainer.moments.tell(0, trainer.optimizer)
    return [each.peak for each in readings.values()]


@contextmanager
def _left_alone(trainer: SftTrainer) -> Iterator[None]:
    """Afterwards all is as before: random states, mode, gradients, what is kept of micro-batches."""
    where, model = trainer.args.device, trainer.model
    devices = [where.index or 0] if where.type == "cuda" else []
    training = model.training
    with torch.random.fork_rng(devices=devices), trainer.apart():
        try:
            yield
        finally:
            model.train(training)
            model.zero_grad()
