"""What happens around each step: events, requests, the stop."""

from __future__ import annotations

import logging
import math
import time
from typing import Any

import torch
import transformers

from sftui.training import trial
from sftui.training.bins import BinDataset
from sftui.training.journal import Journal
from sftui.training.samples import Sampling
from sftui.training.trainer import SftTrainer

log = logging.getLogger("sftui")

STOP, SAVE, EVALUATE, SAMPLE = 1, 2, 4, 8
BITS = {"stop": STOP, "save": SAVE, "evaluate": EVALUATE, "sample": SAMPLE}


class StepCallback(transformers.TrainerCallback):
    """Reports each step and does what watchers ask for between steps."""

    def __init__(self, trainer: SftTrainer, journal: Journal | None, sampling: Sampling | None) -> None:
        self.trainer = trainer
        self.journal = journal
        self.sampling = sampling
        self._began = 0.0
        self._tokens = self._trained = 0
        self._step: dict[str, Any] = {}
        self._first = True

    def restore(self, tokens: int, trained_tokens: int) -> None:
        """Go on counting where the resumed checkpoint had got to."""
        self._tokens, self._trained = tokens, trained_tokens

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Training has begun: the number of steps is known."""
        if self.journal:
            self.journal.update(
                state="running",
                detail="",
                step=state.global_step,
                max_steps=state.max_steps,
                epoch=float(state.epoch or 0.0),
                num_train_epochs=float(state.num_train_epochs),
            )
            self.journal.phase("")
        if trial.is_worth_it(args.device):
            self._try_largest()
        if self.journal:
            log.info("training: steps %d to %d", state.global_step + 1, state.max_steps)

    def _try_largest(self) -> None:
        # The phase stays where this fails: it says what was being done.
        if self.journal:
            self.journal.phase("trying the largest batch")
        trial.try_largest(self.trainer)
        if self.journal:
            self.journal.phase("")

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Before the first batch of an epoch is drawn, in the middle of one where a run is resumed there."""
        data = self.trainer.train_dataset
        if isinstance(data, BinDataset):
            # Not left to accelerate: with several processes it tells the sampler the epoch, not the dataset.
            steps = math.ceil(len(rest["train_dataloader"]) / args.gradient_accumulation_steps)
            data.begin_epoch(state.global_step // max(1, steps))

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The clock of a step starts when its first micro-batch does."""
        self._began = time.monotonic()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Loss and gradient are known and not used yet: the last moment to refuse them."""
        step = state.global_step + 1
        loss, grad_norm, tokens, trained = self.trainer.close_step(step)
        if self._first:
            self._first = False
            self._check_gradients()
        if self.trainer.accelerator.num_processes > 1:
            counts = torch.tensor([tokens, trained], device=args.device)
            tokens, trained = self.trainer.accelerator.reduce(counts, reduction="sum").tolist()
        self._tokens += tokens
        self._trained += trained
        self._step = {
            "step": step,
            "loss": loss,
            "learning_rate": self.trainer._get_learning_rate(),
            "grad_norm": grad_norm,
            "tokens": self._tokens,
            "trained_tokens": self._trained,
            "batch_tokens": tokens,
        }

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Report the step, then see what is asked for."""
        if self.journal:
            seconds = time.monotonic() - self._began
            values = dict(self._step)
            batch_tokens = values.pop("batch_tokens")
            self.journal.event(
                "step",
                epoch=round(float(state.epoch), 6),
                seconds=round(seconds, 6),
                tokens_per_second=round(batch_tokens / seconds, 3) if seconds > 0 else None,
                **values,
            )
            self.journal.update(
                step=state.global_step, epoch=float(state.epoch), loss=values["loss"], tokens=self._tokens
            )
        self.trainer.moments.step_ends(state.global_step, self.trainer.optimizer)
        self._obey(state, control)

    def _obey(self, state: Any, control: Any) -> None:
        asked = self._asked()
        last = state.global_step >= state.max_steps
        if asked & STOP and not last:
            self.trainer.halt()
            return
        has_eval = self.trainer.eval_dataset is not None
        if asked & EVALUATE and not has_eval and self.journal:
            self.journal.warn(
                "asked to evaluate, but no rows are held out: see data.eval and data.eval_fraction"
            )
        if asked & SAMPLE and not self.sampling and self.journal:
            self.journal.warn(
                "asked for answers, but training.sample_rows is 0 or no held-out row has a turn to answer"
            )
        if has_eval and (asked & EVALUATE or (last and self.trainer.recipe.training.eval_strategy != "no")):
            control.should_evaluate = True
        if asked & SAVE:
            control.should_save = True
        if asked & SAMPLE and self.sampling:
            self.sampling.answer(state.global_step)

    def _asked(self) -> int:
        """What watchers ask for, the same on all processes."""
        asked = 0
        if self.journal:
            asked = sum(BITS[name] for name in self.journal.take_requests())
            if self.journal.stop_asked:
                asked |= STOP
        if self.trainer.accelerator.num_processes > 1:
            word = torch.tensor(asked, device=self.trainer.args.device)
            torch.distributed.broadcast(word, src=0)
            asked = int(word.item())
        return asked

    def _check_gradients(self) -> None:
        """Warn where a trained weight gets no gradient in the first step.

        LoRA A matrices start with none, since B is zero; every B must have one (checkpointing set up
        wrongly leaves whole layers without).
        """
        if self.journal is None:
            return
        without = [
            name
            for name, parameter in self.trainer.model.named_parameters()
            if parameter.requires_grad
            and "lora_A" not in name
            and "lora_embedding_A" not in name
            and (parameter.grad is None or not bool(parameter.grad.any()))
        ]
        if without:
            shown = ", ".join(without[:3]) + (", …" if len(without) > 3 else "")
            self.journal.warn(f"{len(without)} trained weights got no gradient in the first step: {shown}")
