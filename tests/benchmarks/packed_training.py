"""Training tokens a second, packed against padded, and by attention; run by hand:

    python tests/benchmarks/packed_training.py --model DIR --data FILE.jsonl [--rows 64] [--batch 8]

The same sequences go forward and backward through the same model in padded batches and in bins, in
turns; tokens are those of the data, padding is not counted. DIR needs config.json and tokenizer files;
without weights there, random ones are trained. Runs on a GPU where there is one.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from sftui.data.packing.layout import lay_out
from sftui.data.sequences import Sequence
from sftui.training.batch import Collator, SequenceDataset, logits_of, token_loss
from sftui.training.bins import BinCollator, BinDataset
from sftui.training.varlen import NAME, register

WAYS = {"padded sdpa": None, "packed sdpa": "sdpa", "packed varlen": NAME}


def main() -> None:
    options = parse()
    where = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = load(options, where)
    sequences = read(options, model.config.vocab_size)
    lengths = [len(each) for each in sequences]
    bins = lay_out(lengths, "best_fit", options.max_length)
    print(f"{type(model).__name__} {sum(p.numel() for p in model.parameters()) / 1e6:,.0f}M {model.dtype}")
    print(f"on {torch.cuda.get_device_name() if where.type == 'cuda' else 'CPU'}, torch {torch.__version__}")
    print(
        f"{len(lengths):,} sequences, {sum(lengths):,} tokens, {min(lengths)} to {max(lengths)}; "
        f"{len(bins):,} bins of {options.max_length:,}; batches of {options.batch} sequences or "
        f"{options.bins} bins"
    )
    passes = {name: prepare(name, model, sequences, options) for name in options.ways}
    speeds: dict[str, list[float]] = {name: [] for name in passes}
    peaks = dict.fromkeys(passes, 0)
    for turn in range(options.turns + 1):
        for name, run in passes.items():
            if where.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            seconds = timed(run, where)
            if turn:  # the first is a warm-up
                speeds[name].append(sum(lengths) / seconds)
                peaks[name] = torch.cuda.max_memory_allocated() if where.type == "cuda" else 0
    base = speeds[options.ways[0]]
    for name, found in speeds.items():
        ratio = statistics.median(one / other for one, other in zip(found, base, strict=True))
        peak = f", peak {peaks[name] / 2**30:.2f} GiB" if peaks[name] else ""
        print(f"{name:14} {statistics.median(found):12,.0f} tokens/s  {ratio:5.2f} times{peak}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--data", type=Path, help="rows of any format; without it random tokens")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--median", type=int, default=250, help="of the log-normal lengths of random tokens")
    parser.add_argument("--max-length", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=8, help="sequences in a padded batch")
    parser.add_argument("--bins", type=int, default=1, help="bins in a packed one")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    return parser.parse_args()


def load(options: argparse.Namespace, where: torch.device) -> Any:
    """The model on its device; in bfloat16 on a GPU unless something else is asked for."""
    register()
    auto = torch.bfloat16 if where.type == "cuda" else torch.float32
    dtype = auto if options.dtype == "auto" else getattr(torch, options.dtype)
    if any(options.model.glob("*.safetensors")):
        model = AutoModelForCausalLM.from_pretrained(options.model, dtype=dtype)
    else:
        torch.manual_seed(0)
        with where:
            model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(options.model), dtype=dtype)
    if options.checkpointing:
        model.gradient_checkpointing_enable()
    return model.to(where).train()


def read(options: argparse.Namespace, vocabulary: int) -> list[Sequence]:
    """Encoded rows, or random tokens of log-normal lengths where there is no data."""
    if options.data is None:
        pick = random.Random(0)
        drawn = [int(pick.lognormvariate(0, 0.8) * options.median) for _ in range(options.rows)]
        lengths = [min(max(length, 8), options.max_length) for length in drawn]
        return [
            Sequence(array("i", pick.choices(range(vocabulary), k=n)), b"\0" + b"\1" * (n - 1), i, str(i))
            for i, n in enumerate(lengths)
        ]
    from sftui.data.dataset import encode_dataset
    from sftui.data.tokenizer import load_tokenizer
    from sftui.recipe import DataSection

    source = {"path": str(options.data), "limit": options.rows}
    data = DataSection.model_validate({"train": [source], "max_length": options.max_length})
    return encode_dataset(data, load_tokenizer(str(options.model)), seed=0).train


def prepare(
    name: str, model: Any, sequences: list[Sequence], options: argparse.Namespace
) -> Callable[[], None]:
    """A pass over all sequences; batches are made before the clock runs."""
    attention = WAYS[name]
    order = list(range(len(sequences)))
    if attention is None:
        random.Random(1).shuffle(order)
        padded = SequenceDataset(sequences)
        size, collate = options.batch, Collator(0)
        chunks = [[padded[i] for i in order[first : first + size]] for first in range(0, len(order), size)]
        batches = [collate(chunk) for chunk in chunks]
    else:
        data = BinDataset(sequences, "best_fit", options.max_length, seed=0)
        pack, size = BinCollator(0, flat=attention == NAME), options.bins
        numbers = [range(first, min(first + size, len(data))) for first in range(0, len(data), size)]
        batches = [pack([data[i] for i in chunk]) for chunk in numbers]
    moved = [
        {
            key: value.to(model.device) if isinstance(value, torch.Tensor) else value
            for key, value in each.items()
        }
        for each in batches
    ]

    def run() -> None:
        model.set_attn_implementation(attention or "sdpa")
        for batch in moved:
            inputs = {key: value for key, value in batch.items() if key not in ("labels", "rows", "counts")}
            token_loss(logits_of(model, inputs), batch["labels"]).backward()
        model.zero_grad(set_to_none=True)

    return run


def timed(run: Callable[[], None], where: torch.device) -> float:
    """Seconds that `run` takes."""
    if where.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    run()
    if where.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
