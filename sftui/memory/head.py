"""The end of a model on a tape: the last norm, the output head, the loss."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sftui.memory.modules import ModelPlan
from sftui.memory.norms import norm
from sftui.memory.operations import cast, kept_output, scale
from sftui.memory.projection import Rules, project
from sftui.memory.shape import ModelShape
from sftui.memory.tape import Gradients, Storage, Tape, Tensor


@dataclass(frozen=True, slots=True)
class Head:
    """What comes after the layers, for `rows` of `length` tokens."""

    shape: ModelShape
    plan: ModelPlan
    rules: Rules
    rows: int
    length: int
    weighted: bool
    chunk: int = 0
    """Tokens whose logits are there at once; 0 for all."""

    @property
    def tokens(self) -> int:
        """Tokens of a micro-batch."""
        return self.rows * self.length

    def normed(self, tape: Tape, x: Tensor) -> Tensor:
        """The last norm."""
        shape = self.shape
        rules = self.rules.saved() if self.plan.norm_saved else self.rules
        return norm(
            tape, x, shape.norm, shape.hidden, rules.width, trained=rules.full, resident=rules.resident
        )

    @property
    def waits(self) -> bool:
        """Whether the head's gradient is not added to an earlier one at once.

        That of a weight that is the embedding too waits for the embedding's.
        """
        return not self.rules.resident or (self.shape.tied and self.rules.full)

    def logits(self, tape: Tape, x: Tensor, *, resident: bool | None = None) -> Tensor:
        """`x` of the last norm -> logits, as the model returns them.

        `resident`: whether the head's gradients are there to be added to, where that is not as in the step.
        """
        shape, plan = self.shape, self.plan
        rules = replace(self.rules, resident=not self.waits if resident is None else resident)
        logits = project(
            tape,
            x,
            rules,
            shape.head_name,
            shape.hidden,
            shape.vocab,
            bias=shape.head_bias,
            adapted=plan.head_adapted,
            saved=plan.head_saved,
        )
        del x
        if shape.logit_softcap is not None:
            logits = scale(tape, logits)
            logits = kept_output(tape, logits)
            logits = scale(tape, logits)
        return logits

    def handed_on(self, tape: Tape, logits: Tensor) -> Tensor:
        """Logits in float32, as accelerate hands on what a model under autocast returns."""
        return cast(tape, logits, 4)

    def loss(self, tape: Tape, logits: Tensor) -> Tensor:
        """The trainer's `token_loss`: the logits in float32, their logarithmic softmax, a sum."""
        tokens = logits.size // self.shape.vocab
        targets = tape.new(8 * (tokens + self.rows))
        flat = cast(tape, logits, 4)
        shifted = tape.new(8 * tokens if self.rows > 1 else 0)
        if self.rows > 1:
            del targets
            targets = shifted
        del shifted
        probabilities = kept_output(tape, flat)
        back = 4 * probabilities.size
        each = tape.new(4 * tokens) if self.weighted else None
        shares = (tape.new(4 * (tokens + self.rows)), tape.new(4 * tokens)) if self.weighted else None

        def work(
            grads: list[Storage | None], kept: object = (probabilities.storage, targets, shares)
        ) -> Gradients:
            return (tape.new(back),)

        del flat
        loss = tape.result(tape.new(4), 1, 4, (probabilities.edge,), work)
        del each
        return loss

    def chunk_loss(self, tape: Tape, logits: Tensor) -> None:
        """The trainer's loss of a chunk: logarithms of probabilities, and the gradient in their place."""
        flat = tape.new(4 * logits.size) if logits.width < 4 else None
        scores: Storage | None = tape.new(4 * logits.size)
        del flat
        if not tape.training or logits.edge is None:
            return
        slopes = tape.new(logits.width * logits.size) if logits.width < 4 else scores
        assert slopes is not None
        scores = None
        tape.backward(logits, slopes)
