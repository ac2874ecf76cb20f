"""The model's own answers to a few held-out rows, before, after and on request."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch

from sftui.training.journal import Journal


@dataclass(frozen=True, slots=True)
class Question:
    """A held-out row: the prompt's token ids and text, and the answer that the row gives."""

    row: int
    where: str
    prompt_ids: tuple[int, ...]
    prompt: str
    expected: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """Greedy answers to fixed questions, bounded in length, one `sample` event each."""

    model: Any
    tokenizer: Any
    questions: tuple[Question, ...]
    max_new_tokens: int
    stop_ids: tuple[int, ...]
    pad_id: int
    journal: Journal

    def answer(self, step: int) -> None:
        """Generate an answer to each question and report it; random state and mode are left as they were."""
        self.journal.phase("answering held-out rows")
        was_training = self.model.training
        self.model.eval()
        try:
            for question in self.questions:
                if self.journal.stop_asked:
                    break
                self._answer(step, question)
        finally:
            self.model.train(was_training)
            self.journal.phase("")

    def _answer(self, step: int, question: Question) -> None:
        started = time.monotonic()
        ids = torch.tensor([question.prompt_ids], device=self.model.device)
        with torch.no_grad():
            output = self.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=self.max_new_tokens,
                eos_token_id=list(self.stop_ids),
                pad_token_id=self.pad_id,
                use_cache=True,
            )
        new = output[0, ids.shape[1] :].tolist()
        ended = bool(new) and new[-1] in self.stop_ids
        text = self.tokenizer.decode(new[:-1] if ended else new, skip_special_tokens=False)
        self.journal.event(
            "sample",
            step=step,
            row=question.row,
            where=question.where,
            prompt=question.prompt,
            expected=question.expected,
            answer=text,
            ended=ended,
            tokens=len(new),
            seconds=round(time.monotonic() - started, 3),
        )
