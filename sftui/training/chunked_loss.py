"""Cross entropy over the trained tokens, a chunk at a time: the logits of a whole batch are never there.

Output head and loss of a chunk run forward and backward at once; what stays is the gradient of the hidden
states and of a trained head. Tokens that are not trained never come to the head. What a model does between
its hidden states and its logits (scaling, capping) is its own forward pass, run on hidden states that are
there already.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers.modeling_outputs import CausalLMOutput

from sftui.memory.step import autocast_dtype, loss_chunk
from sftui.recipe import Recipe
from sftui.training.attention import DTYPES
from sftui.training.batch import IGNORED, logits_of, outputs_of, token_loss
from sftui.training.failure import short

Tail = Callable[[torch.Tensor], torch.Tensor]

# Tokens of the trial before training, and how far the two losses may be apart: a share of the loss.
_TRIED = 8
_TRIED_CHUNK = 3
_TOLERANCES = {torch.float32: 1e-3}
_TOLERANCE = 0.02  # of half types: products of other sizes are rounded in other places


@dataclass(frozen=True, slots=True)
class Wanted:
    """A loss that a forward pass is to end in.

    `targets` and `weights` as in `token_loss`; `expected` is the gradient that the loss will get, `chunk` the
    number of tokens whose logits are there at once.
    """

    targets: torch.Tensor
    weights: torch.Tensor | None
    expected: torch.Tensor | float
    chunk: int


def summed_loss(
    model: Any,
    inputs: dict[str, Any],
    targets: torch.Tensor,
    weights: torch.Tensor | None = None,
    *,
    chunk: int,
    expected: torch.Tensor | float = 1.0,
) -> torch.Tensor:
    """`token_loss` of the batch's logits, of `chunk` tokens at a time (`install` comes first); 0: of all.

    Gradients of chunks are made in this call, for a loss whose own gradient is `expected`: in half types they
    are then rounded as they are without chunks.
    """
    if not chunk:
        return token_loss(logits_of(model, inputs), targets, weights)
    wanted = Wanted(targets, weights, expected, chunk)
    loss: torch.Tensor = outputs_of(model, inputs | {"loss_of": wanted})["loss"]
    return loss


def choose_chunk(recipe: Recipe, model: Any) -> tuple[int, str | None]:
    """(tokens of a chunk of the model's loss, 0 for all at once; the reason where that was not asked for)."""
    if recipe.training.loss == "stock":
        return 0, None
    half = autocast_dtype(recipe)
    reason = prepare(model, None if half is None else DTYPES[half])
    if reason is not None:
        return 0, reason
    return loss_chunk(model.config.get_text_config().vocab_size), None


def install(model: Any) -> str | None:
    """Let the model's forward pass take `loss_of`, a `Wanted`; or the reason why it cannot."""
    base = _base(model)
    body = getattr(base, getattr(base, "base_model_prefix", "") or "-", None)
    if body is None and hasattr(base, "get_decoder"):
        body = base.get_decoder()
    if not isinstance(body, torch.nn.Module) or body is base:
        return f"where the output head of {type(base).__name__} begins cannot be told"
    inner = base.forward

    @functools.wraps(getattr(inner, "__func__", inner))
    def forward(self: Any, *args: Any, loss_of: Wanted | None = None, **kwargs: Any) -> Any:
        if loss_of is None:
            return inner(*args, **kwargs)
        hidden, kind = _hidden_states(body, inner, args, kwargs)
        heads = [child for child in self.children() if child is not body]
        trained = {id(each): each for head in heads for each in head.parameters() if each.requires_grad}
        tail = functools.partial(_logits, body, inner, kind)
        return CausalLMOutput(loss=_loss(hidden, tail, loss_of, list(trained.values())))

    # Within what accelerate and DDP put around it: the loss is made under autocast, and DDP sees its graph.
    base.forward = types.MethodType(forward, base)
    return None


def prepare(model: Any, autocast: torch.dtype | None) -> str | None:
    """`install`, and try it on a few tokens; the reason why this model needs the stock loss, or None."""
    base = _base(model)
    before = vars(base).get("forward")
    reason = install(model) or _difference(model, autocast)
    if reason is not None:
        _restore(base, before)
    return reason


def _base(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _difference(model: Any, autocast: torch.dtype | None) -> str | None:
    ids = torch.arange(_TRIED, device=model.device)[None] % model.config.get_text_config().vocab_size
    was_training = model.training
    model.eval()
    try:
        with (
            torch.no_grad(),
            torch.autocast(model.device.type, dtype=autocast, enabled=autocast is not None),
        ):
            stock = float(token_loss(logits_of(model, {"input_ids": ids}), ids))
            ours = float(summed_loss(model, {"input_ids": ids}, ids, chunk=_TRIED_CHUNK))
    except Exception as error:
        return f"the model does not take it: {short(error)}"
    finally:
        model.train(was_training)
    share = _TOLERANCES.get(autocast or model.dtype, _TOLERANCE)
    if not abs(ours - stock) <= share * abs(stock):
        return f"on {_TRIED} tokens it came to {ours:.6g}, the stock loss to {stock:.6g}"
    return None


class _Reached(Exception):  # noqa: N818 - not an error: ends a forward pass at the hidden states
    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output


@contextmanager
def _put(module: Any, forward: Callable[..., Any]) -> Iterator[None]:
    before = vars(module).get("forward")
    module.forward = forward
    try:
        yield
    finally:
        _restore(module, before)


def _restore(module: Any, forward: Callable[..., Any] | None) -> None:
    """`forward` of the module's own, None for that of its class."""
    if forward is None:
        vars(module).pop("forward", None)
    else:
        module.forward = forward


def _hidden_states(
    body: Any, inner: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[torch.Tensor, Any]:
    """What the model hands to its head, and the type of output that it comes in."""
    original = body.forward

    def reached(*args: Any, **kwargs: Any) -> Any:
        raise _Reached(original(*args, **kwargs))

    try:
        with _put(body, reached):
            inner(*args, **kwargs)
    except _Reached as found:
        output = found.output
    else:
        raise TypeError("its hidden states are made elsewhere than in its base model")
    return output[0], type(output)


def _logits(body: Any, inner: Any, kind: Any, states: torch.Tensor) -> torch.Tensor:
    """The logits of hidden states (1, tokens, hidden size)."""

    def given(*args: Any, **kwargs: Any) -> Any:
        return (states,) if issubclass(kind, tuple) else kind(last_hidden_state=states)

    with _put(body, given):
        logits: torch.Tensor = inner(use_cache=False).logits
    return logits


def _loss(
    hidden: torch.Tensor, tail: Tail, wanted: Wanted, trained: list[torch.nn.Parameter]
) -> torch.Tensor:
    shifted = _moved(wanted.targets, IGNORED).to(hidden.device)
    shares = None if wanted.weights is None else _moved(wanted.weights, 0).to(hidden.device)
    parts = torch.split((shifted != IGNORED).nonzero()[:, 0], wanted.chunk)
    work = _Work(tail, shifted, shares, parts, wanted.expected)
    states = hidden.flatten(0, 1)
    del hidden
    if torch.is_grad_enabled() and (states.requires_grad or trained):
        loss: torch.Tensor = _Summed.apply(states, work, *trained)  # type: ignore[no-untyped-call]
        return loss
    return work.forward(states)


def _moved(values: torch.Tensor, padding: float) -> torch.Tensor:
    """What (batch, length) has one token later, in one row."""
    return torch.nn.functional.pad(values[:, 1:], (0, 1), value=padding).flatten()


@dataclass(frozen=True, slots=True)
class _Work:
    """Everything but hidden states and parameters. `parts`: numbers of trained tokens, a tensor a chunk."""

    tail: Tail
    shifted: torch.Tensor
    shares: torch.Tensor | None
    parts: tuple[torch.Tensor, ...]
    expected: torch.Tensor | float

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """The loss alone."""
        total = torch.zeros((), device=states.device)
        for part in self.parts:
            logits = self.tail(states.index_select(0, part)[None])
            total += self._scored(logits, part)[0]
            del logits  # before those of the next chunk are there
        return total

    def both(
        self, states: torch.Tensor, trained: tuple[torch.nn.Parameter, ...], *, back: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None, list[torch.Tensor | None]]:
        """(loss, gradient of the states where they are to go `back`, gradients of the trained)."""
        total = torch.zeros((), device=states.device)
        gradient: torch.Tensor | None = None
        sums: list[torch.Tensor | None] = [None] * len(trained)
        for part in self.parts:
            with torch.enable_grad():
                chosen = states.index_select(0, part).detach()[None].requires_grad_(back)
                logits = self.tail(chosen)
            loss, scores = self._scored(logits, part)
            total += loss
            slopes = self._slopes(scores, part).to(logits.dtype)
            del scores
            inputs = [chosen, *trained] if back else trained
            found = torch.autograd.grad(logits, inputs, slopes, allow_unused=True)
            del logits, slopes, inputs, chosen
            if back:
                if gradient is None:
                    gradient = torch.zeros_like(states)
                if found[0] is not None:
                    gradient.index_copy_(0, part, found[0][0])
                found = found[1:]
            _add(sums, found)
            del found
        return total, gradient, sums

    def _scored(self, logits: torch.Tensor, part: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss of a chunk, and the logarithms of probabilities (1, tokens, vocabulary), float32."""
        scores = torch.log_softmax(logits.detach().float(), -1)
        each = scores.gather(-1, self._labels(part))[0, :, 0]
        if self.shares is not None:
            each = each * self.shares.index_select(0, part)
        return -each.sum(), scores

    def _slopes(self, scores: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
        """The gradient of the logits, in place of `scores`: probabilities less 1 at the label."""
        labels = self._labels(part)
        scores.exp_()
        scores.scatter_(-1, labels, scores.gather(-1, labels) - 1)
        if self.shares is not None:
            scores.mul_(self.shares.index_select(0, part)[None, :, None])
        return scores.mul_(self.expected)

    def _labels(self, part: torch.Tensor) -> torch.Tensor:
        return self.shifted.index_select(0, part)[None, :, None]


def _add(sums: list[torch.Tensor | None], more: Sequence[torch.Tensor | None]) -> None:
    for number, each in enumerate(more):
        held = sums[number]
        if held is None:
            sums[number] = each
        elif each is not None:
            held.add_(each)


class _Summed(torch.autograd.Function):
    """The summed loss, with gradients that are there already."""

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, work: _Work, *trained: torch.nn.Parameter) -> torch.Tensor:
        back = ctx.needs_input_grad[0]
        total, gradient, sums = work.both(states, trained, back=back)
        if back and gradient is None:  # nothing is trained: other processes wait for gradients all the same
            gradient = torch.zeros_like(states)
        ctx.expected = work.expected
        ctx.gradients = [
            gradient,
            *(
                torch.zeros_like(one) if each is None else each
                for one, each in zip(trained, sums, strict=True)
            ),
        ]
        return total

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        # Given away: a gradient that nothing else holds becomes that of its parameter without a copy.
        (gradient, *sums), ctx.gradients = ctx.gradients, None
        factor = outer[0] / ctx.expected
        if gradient is not None:
            gradient.mul_(factor)
        return gradient, None, *(each.mul_(factor) for each in sums)
