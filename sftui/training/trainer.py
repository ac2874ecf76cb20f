"""`transformers.Trainer` with our loss, evaluation, checkpoints and events."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers

from sftui import words
from sftui.data.sequences import Sequence
from sftui.recipe import Recipe
from sftui.runs.directory import RunDirectory
from sftui.training import checkpoint
from sftui.training.batch import IGNORED, Collator, SequenceDataset, total_weight
from sftui.training.bins import BinCollator, BinDataset
from sftui.training.chunked_loss import choose_chunk, summed_loss
from sftui.training.failure import NonFiniteError, short
from sftui.training.journal import Journal
from sftui.training.moments import Moments
from sftui.training.tokenizer_files import write_tokenizer

log = logging.getLogger("sftui")

# A gradient scaler starts too high on purpose and skips steps until it fits; so many in a row are too many.
MOST_SKIPPED_STEPS = 20


class EvaluationInterruptedError(Exception):
    """An evaluation was given up because the run shall stop."""


class SftTrainer(transformers.Trainer):
    """Trains on `Sequence`s, or on bins of them; the loss is the mean over trained tokens of the whole
    effective batch.

    Where sequences have weights it is the weighted mean: sum(weight * loss) / sum(weight). `journal` is
    None in all but the first process of a run on several devices. `flat` says how bins lie in a batch.
    `moments` is told what is running.
    """

    def __init__(
        self,
        *,
        recipe: Recipe,
        run: RunDirectory,
        journal: Journal | None,
        moments: Moments,
        pad_id: int,
        train: list[Sequence],
        evaluation: list[Sequence],
        flat: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(
            train_dataset=_training_data(recipe, train),
            eval_dataset=SequenceDataset(evaluation) if evaluation else None,
            data_collator=Collator(pad_id),
            **options,
        )
        self.data_collator: Any  # of evaluation
        packs = recipe.data.packing != "none"
        self._training_collator = BinCollator(pad_id, flat=flat) if packs else self.data_collator
        self.recipe = recipe
        self.run = run
        self.journal = journal
        self.moments = moments
        # Our loss is normalised by `num_items_in_batch` for every model; the stock trainer would average
        # per micro-batch for those whose forward takes no loss arguments.
        self.model_accepts_loss_kwargs = True
        self.loss_chunk, reason = choose_chunk(recipe, self.model)
        if reason is not None and journal:
            journal.warn(f"training.loss: stock in place of chunked, which takes more memory: {reason}")
        self._micro_losses: list[torch.Tensor] = []
        self._micro_rows: list[tuple[int, ...]] = []
        self._micro_counts: list[tuple[int, int]] = []
        self._grad_norm: torch.Tensor | float | None = None
        self._skipped_steps = 0
        self.stopped = False
        self.failed_save: Exception | None = None

    def halt(self) -> None:
        """End training after this step, with a checkpoint."""
        self.stopped = True
        self.control.should_training_stop = True
        self.control.should_save = True
        self.control.should_evaluate = False

    # -- data ------------------------------------------------------------------------------------

    def get_train_dataloader(self) -> Any:
        """Bins are put together in another way than the padded batches of an evaluation."""
        padded, self.data_collator = self.data_collator, self._training_collator
        try:
            return super().get_train_dataloader()
        finally:
            self.data_collator = padded

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> Any:
        """The micro-batches of a step, and what its loss is divided by."""
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        self.moments.step_begins(max((batch["input_ids"].numel() for batch in batches), default=0))
        return batches, items

    def training_batch(self, items: list[Any]) -> dict[str, Any]:
        """These items of the dataset as a micro-batch on the device."""
        batch: dict[str, Any] = self._prepare_inputs(self._training_collator(items))
        return batch

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Micro-batches that are run meanwhile belong to no step."""
        kept = self._micro_losses, self._micro_rows, self._micro_counts
        self._micro_losses, self._micro_rows, self._micro_counts = [], [], []
        try:
            yield
        finally:
            self._micro_losses, self._micro_rows, self._micro_counts = kept

    # -- loss ------------------------------------------------------------------------------------

    def training_step(self, *arguments: Any, **options: Any) -> torch.Tensor:
        """Forward, loss and backward of a micro-batch."""
        self.moments.forward_begins()
        loss: torch.Tensor = super().training_step(*arguments, **options)
        return loss

    @contextmanager
    def compute_loss_context_manager(self) -> Iterator[None]:
        """Around forward and loss; backward is what follows."""
        with super().compute_loss_context_manager():
            yield
        self.moments.backward_begins()

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> torch.Tensor | None:
        """What the summed losses of a step are divided by: its trained tokens, each counted by its weight.

        The same on all processes; None where there are no batches.
        """
        if not batch_samples:
            return None
        shares = [total_weight(batch["labels"], batch.get("weights")) for batch in batch_samples]
        total = torch.stack(shares).sum().to(device)
        if self.accelerator.num_processes > 1:
            total = self.accelerator.reduce(total, reduction="sum")
        # Where sequences are cut, a whole step may hold nothing that is trained: a loss of 0, not 0 / 0.
        total = torch.where(total > 0, total, 1.0)
        # In double precision up to here: this one rounding is that of a division by the plain count.
        return total.float()

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """This micro-batch's summed, weighted cross entropy over the sum of the weights of the effective
        batch on all processes.

        Scaled up by the number of processes, since DDP averages gradients over them.
        """
        inputs = dict(inputs)
        self._micro_rows.append(inputs.pop("rows"))
        self._micro_counts.append(inputs.pop("counts"))
        targets, weights = inputs.pop("labels"), inputs.pop("weights", None)
        assert num_items_in_batch is not None
        processes, scaler = self.accelerator.num_processes, self.accelerator.scaler
        expected = processes / num_items_in_batch * (1.0 if scaler is None else scaler.get_scale())
        summed = summed_loss(model, inputs, targets, weights, chunk=self.loss_chunk, expected=expected)
        loss = summed / num_items_in_batch * processes
        self._micro_losses.append(loss.detach())
        # Nothing asks for logits: evaluation is our own.
        return (loss, {}) if return_outputs else loss

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: the stock count walks all parameters in every micro-batch."""
        return 0

    def _clip_grad_norm(self, model: Any) -> Any:
        self.moments.update_begins()
        self._grad_norm = super()._clip_grad_norm(model)
        self.moments.clipped()
        return self._grad_norm

    def close_step(self, step: int) -> tuple[float, float, int, int]:
        """Loss, gradient norm, tokens and trained tokens of the effective batch, before the optimizer steps.

        The first two are those of all processes, the counts of this one. Raises `NonFiniteError` where loss
        or norm is NaN or infinite. One transfer from the device.
        """
        micro = torch.stack(self._micro_losses)
        rows, counts = self._micro_rows, self._micro_counts
        self._micro_losses, self._micro_rows, self._micro_counts = [], [], []
        norm = torch.as_tensor(self._grad_norm if self._grad_norm is not None else math.nan)
        total = micro.sum()
        if self.accelerator.num_processes > 1:
            total = self.accelerator.reduce(total, reduction="mean")
        values = torch.cat([micro, torch.stack([total, norm.to(micro)])]).tolist()
        *losses, loss, grad_norm = values
        if not math.isfinite(loss):
            bad = [batch for batch, value in zip(rows, losses, strict=True) if not math.isfinite(value)]
            raise NonFiniteError("loss", loss, step, self.places(bad))
        if not math.isfinite(grad_norm):
            self._skipped_steps += 1
            if self.accelerator.scaler is None or self._skipped_steps > MOST_SKIPPED_STEPS:
                raise NonFiniteError("gradient", grad_norm, step, self.places(rows))
        else:
            self._skipped_steps = 0
        return loss, grad_norm, sum(tokens for tokens, _ in counts), sum(trained for _, trained in counts)

    def places(self, batches: Iterable[tuple[int, ...]]) -> list[str]:
        """Where the rows of these micro-batches, on all processes, stand: `train.jsonl:1205`."""
        sequences = self.train_dataset.sequences
        found = [sequences[index].where for batch in batches for index in batch]
        if self.accelerator.num_processes == 1:
            return found
        # Loss and gradient norm are the same on all processes: each of them is here for the same reason.
        of_all: list[list[str]] = [[] for _ in range(self.accelerator.num_processes)]
        torch.distributed.all_gather_object(of_all, found)
        return [place for places in of_all for place in places]

    # -- evaluation ------------------------------------------------------------------------------

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Mean loss over all trained tokens of the held-out rows, in nats a token.

        Weighted as in training where the rows have weights: sum(weight * loss) / sum(weight). Batch by
        batch, logits are dropped at once: the stock loop averages over batches, not tokens.
        """
        started = time.monotonic()
        model = self.model
        was_training = model.training
        model.eval()
        totals = torch.zeros(3, dtype=torch.float64, device=self.args.device)
        if self.journal:
            self.journal.phase("evaluating")
        self.moments.evaluation_begins()
        loader = self.get_eval_dataloader(eval_dataset)
        try:
            with torch.no_grad():
                for turn, inputs in enumerate(loader):
                    self._raise_if_asked_to_stop()
                    batch = dict(self._prepare_inputs(inputs))
                    targets = self._without_repeats(turn, batch.pop("rows"), batch.pop("labels"))
                    self.add_losses(totals, batch, targets)
            self.moments.tell(self.state.global_step, self.optimizer)
        except EvaluationInterruptedError:
            self.moments.tell(self.state.global_step, self.optimizer)
            self.halt()
            return {}
        finally:
            model.train(was_training)
            if self.journal:
                self.journal.phase("")
        if self.accelerator.num_processes > 1:
            totals = self.accelerator.reduce(totals, reduction="sum")
        summed, weight, tokens = totals.tolist()
        loss = summed / weight if weight else math.nan
        if self.journal:
            step, seconds = self.state.global_step, time.monotonic() - started
            log.info("evaluation at step %s: loss %.4f (%.1f s)", f"{step:,}", loss, seconds)
            self.journal.update(eval_loss=loss)
            self.journal.event("eval", step=step, loss=loss, tokens=int(tokens), seconds=round(seconds, 3))
        metrics = {f"{metric_key_prefix}_loss": loss}
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def add_losses(self, totals: torch.Tensor, batch: dict[str, Any], targets: torch.Tensor) -> None:
        """Add a batch's summed loss, weight and trained tokens to `totals`; `batch` without its rows."""
        weights = batch.pop("weights", None)
        del batch["counts"]
        totals[0] += summed_loss(self.model, batch, targets, weights, chunk=self.loss_chunk).double()
        totals[1] += total_weight(targets, weights)
        totals[2] += (targets != IGNORED).sum()

    def _without_repeats(self, turn: int, rows: tuple[int, ...], targets: torch.Tensor) -> torch.Tensor:
        """The labels with nothing trained in rows that have been evaluated already.

        So that all processes have as many batches, the loader fills the last ones up with rows from
        the beginning. Batches go to the processes in turn and rows in order, so batch number b begins
        with row b times its size: whatever lies before that is a repetition.
        """
        number = turn * self.accelerator.num_processes + self.accelerator.process_index
        first = number * self.args.per_device_eval_batch_size
        repeated = torch.tensor([row < first for row in rows], device=targets.device)
        return targets.masked_fill(repeated[:, None], IGNORED)

    def _raise_if_asked_to_stop(self) -> None:
        # With several processes all must leave together; an evaluation is then finished first.
        if self.accelerator.num_processes == 1 and self.journal is not None and self.journal.stop_asked:
            raise EvaluationInterruptedError

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        # The best evaluation is read off the events; there is no load_best_model_at_end to serve.
        return False

    # -- checkpoints -----------------------------------------------------------------------------

    def _get_output_dir(self, trial: Any = None) -> str:
        return str(checkpoint.staging(self.run))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write `checkpoint-N` beside, then move it into place. A failed periodic save is a warning.

        Training goes on: it is worth more than one checkpoint, earlier ones are intact, and the
        next save may find room. The error of the save that ends a run is kept in `failed_save`.
        """
        step = self.state.global_step
        target = self.run.checkpoint(step)
        if target.exists():
            return
        started = time.monotonic()
        if self.journal:
            self.journal.phase("saving a checkpoint")
        self.moments.save_begins()
        try:
            if self.args.should_save:
                checkpoint.staging(self.run).mkdir(parents=True, exist_ok=True)
                needed = checkpoint.checkpoint_bytes(self.model, self.optimizer)
                checkpoint.require_space(self.run.path, needed)
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                size = checkpoint.publish(checkpoint.staging(self.run) / target.name, target)
                checkpoint.keep_newest(self.run, self.recipe.training.save_total_limit)
                if self.journal:
                    seconds = round(time.monotonic() - started, 3)
                    log.info("checkpoint %s saved (%s, %.1f s)", f"{step:,}", words.size(size), seconds)
                    self.journal.event("checkpoint", step=step, bytes=size, seconds=seconds, path=str(target))
        except Exception as error:
            checkpoint.clear_staging(self.run)
            error.add_note(f"saving checkpoint {step:,}")
            if self.journal is None or self.accelerator.num_processes > 1:
                raise
            if self.control.should_training_stop or step >= self.state.max_steps:
                # The result is smaller and worth more: it is saved first, then this is raised.
                self.failed_save = error
                return
            self.journal.warn(f"checkpoint {step} was not saved; the one before is kept: {short(error)}")
        finally:
            self.moments.tell(step, self.optimizer)
            if self.journal:
                self.journal.phase("")

    def restore_if_complete(self, folder: Path) -> bool:
        """Load a checkpoint after the last step, where one is; False if there are steps left.

        A run that was lost while it saved its result resumes here: the stock trainer would go one
        step too far.
        """
        state = transformers.TrainerState.load_from_json(str(folder / "trainer_state.json"))
        if state.global_step < state.max_steps:
            return False
        self._load_from_checkpoint(str(folder))
        self.state = state
        if self.journal:
            self.journal.update(step=state.global_step, max_steps=state.max_steps)
        return True

    def save_result(self, target: Path, base: Path, chat_template: str | None, card: str) -> None:
        """Write the trained adapter (or model), tokenizer and README to `target`, or leave it as it was.

        The tokenizer's files are those of `base`, with `chat_template` in place of its own if given.
        """
        written = checkpoint.staging(self.run) / target.name
        if self.args.should_save:
            written.mkdir(parents=True, exist_ok=True)
        self.save_model(str(written), _internal_call=True)
        if self.args.should_save:
            # A pickle of our arguments: nobody needs it to use the result.
            (written / "training_args.bin").unlink(missing_ok=True)
            write_tokenizer(base, written, chat_template)
            (written / "README.md").write_text(card, encoding="utf-8")
            checkpoint.publish(written, target)


def _training_data(recipe: Recipe, sequences: list[Sequence]) -> SequenceDataset | BinDataset:
    data = recipe.data
    if data.packing == "none":
        return SequenceDataset(sequences)
    seed = recipe.training.seed
    return BinDataset(sequences, data.packing, data.max_length, seed=seed, repacks=data.repack_each_epoch)
