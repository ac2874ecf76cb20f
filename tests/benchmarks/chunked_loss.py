"""The chunked loss beside the stock one: `python tests/benchmarks/chunked_loss.py MODEL [TOKENS] [REPEATS]`.

Forward and backward of one batch on the CPU, stock and chunked in turn: the ratio of the medians of processor
time, and of the most bytes of tensors that were alive at once, weights included. All tokens are trained, or a
quarter as in chats with long prompts. `--layers N` keeps the first layers alone: the head weighs more.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from typing import Any

import torch
import transformers
from peft import LoraConfig, get_peft_model

from sftui.memory.step import LOSS_CHUNK
from sftui.training import chunked_loss
from sftui.training.batch import IGNORED
from sftui.training.simulation.counting import LiveBytes


def step(model: Any, inputs: dict[str, Any], targets: torch.Tensor, *, chunked: bool) -> float:
    """The loss of the batch; gradients are made and dropped."""
    summed = chunked_loss.summed_loss(model, inputs, targets, chunk=LOSS_CHUNK if chunked else 0)
    loss = summed.item()
    summed.backward()
    model.zero_grad()
    return loss


def peak(model: Any, inputs: dict[str, Any], targets: torch.Tensor, *, chunked: bool) -> int:
    """The most bytes alive in a step."""
    counter = LiveBytes("cpu")
    counter.enter(("forward", 0))
    counter.count([*model.parameters(), *model.buffers()], "weights")
    with counter:
        step(model, inputs, targets, chunked=chunked)
    return counter.windows["forward", 0].total


def compare(name: str, model: Any, targets: torch.Tensor, ids: torch.Tensor, repeats: int) -> None:
    """Print a line."""
    inputs = {"input_ids": ids}
    losses: dict[bool, float] = {}
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for number in range(repeats + 1):
        for chunked in (False, True):
            began = time.process_time()
            losses[chunked] = step(model, inputs, targets, chunked=chunked)
            if number:  # the first is to warm up
                seconds[chunked].append(time.process_time() - began)
    bytes_of = {chunked: peak(model, inputs, targets, chunked=chunked) for chunked in (False, True)}
    stock, ours = (statistics.median(seconds[chunked]) for chunked in (False, True))
    print(
        f"{name:24s} stock {stock:6.2f} s {bytes_of[False] / 2**20:8,.0f} MiB   chunked {ours:6.2f} s "
        f"{bytes_of[True] / 2**20:8,.0f} MiB   time x {ours / stock:.3f}  bytes x "
        f"{bytes_of[True] / bytes_of[False]:.3f}  loss {losses[True] / losses[False] - 1:+.1e}",
        flush=True,
    )


def main() -> None:
    """Compare for both methods and both shares of trained tokens."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("tokens", nargs="?", type=int, default=2048)
    parser.add_argument("repeats", nargs="?", type=int, default=3)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--layers", type=int)
    options = parser.parse_args()
    ids = torch.randint(100, 10_000, (1, options.tokens), generator=torch.Generator().manual_seed(0))
    some = ids.clone()
    some[:, : 3 * options.tokens // 4] = IGNORED
    for method in ("lora", "full"):
        model = transformers.AutoModelForCausalLM.from_pretrained(
            options.model, dtype=getattr(torch, options.dtype)
        )
        model.config.use_cache = False
        model.model.layers = model.model.layers[: options.layers]
        model.gradient_checkpointing_enable({"use_reentrant": False})
        if method == "lora":
            config = LoraConfig(task_type="CAUSAL_LM", r=16, target_modules="all-linear")
            model = get_peft_model(model, config, autocast_adapter_dtype=False)
        model.train()
        reason = chunked_loss.prepare(model, None)
        if reason is not None:
            raise SystemExit(reason)
        compare(f"{method}, all trained", model, ids, ids, options.repeats)
        compare(f"{method}, a quarter trained", model, some, ids, options.repeats)


if __name__ == "__main__":
    main()
