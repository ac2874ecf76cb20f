"""Does sftui train as TRL's SFTTrainer does? The losses of both, step by step, in float32 on the CPU.

`python tests/benchmarks/trl_losses.py --model DIR --data gsm8k.jsonl --trl-python PYTHON` trains a model
by the command line of sftui and by TRL, which may live in another environment: first all weights, then
LoRA. Settings are the same on both sides. TRL is given the token ids and labels of sftui, so that the
trainers are compared and not the masks; what TRL itself would train on the same rows is shown before.
Both sides seed right before they load the model and attach the adapter next, and so draw the same LoRA A:
else the gradient norm of the first step would differ. Exits with 1 if a loss differs by more than 1e-4.

What remains is rounding: over a large vocabulary, torch's log_softmax in float32 is off by nearly 1e-5 on
the CPU; TRL's logsumexp in tiles is not. A model of 135M parameters takes half an hour or more on two cores.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections import Counter
from importlib.metadata import version
from itertools import groupby, islice, pairwise
from pathlib import Path
from typing import Any

TOLERANCE = 1e-4
IGNORED = -100
TRL_JOB = "--trl-job"
MAX_LENGTH = 512
SHARED: dict[str, Any] = {
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.1,
    "weight_decay": 0.01,
    "max_grad_norm": 1.0,
    "optim": "adamw_torch",
    "gradient_checkpointing": False,
    "save_strategy": "no",
    "seed": 42,
}
ROLES = {"prompt": ("user", "question"), "completion": ("assistant", "answer")}
LORA: dict[str, Any] = {"r": 8, "lora_alpha": 16, "lora_dropout": 0.0, "target_modules": "all-linear"}
KINDS: dict[str, tuple[float, dict[str, Any] | None]] = {"full": (1e-5, None), "lora": (2e-4, LORA)}

Examples = dict[str, list[list[int]]]  # columns input_ids and labels, a list for each row
Step = dict[str, float]  # loss, grad_norm, learning_rate; tokens and trained_tokens of this step


def main() -> int:
    """Compare masks, then losses; 1 if a loss differs by more than TOLERANCE."""
    options = parse_arguments()
    report: dict[str, Any] = {"settings": SHARED, "max_length": MAX_LENGTH, "kinds": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = sftui_examples(sftui_recipe(options, SHARED, None))
        report["masks"] = compare_masks(ours, trl_examples(options, folder))
        for kind in KINDS:
            report["kinds"][kind] = compare_losses(kind, options, folder / kind, ours)
    worst = max(result["largest difference"] for result in report["kinds"].values())
    equal = worst <= TOLERANCE
    print(f"\nlargest difference of a loss: {worst:.2e}, {'within' if equal else 'ABOVE'} {TOLERANCE:g}")
    if options.out:
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0 if equal else 1


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Compare the losses of sftui with those of TRL.")
    parser.add_argument("--model", required=True, help="a small model: directory or Hub id")
    parser.add_argument("--data", required=True, type=Path, help="JSONL with columns question and answer")
    parser.add_argument("--trl-python", required=True, help="a Python interpreter that has trl")
    parser.add_argument("--steps", type=int, default=20, help="optimizer steps (default 20)")
    parser.add_argument("--rows", type=int, default=100, help="first rows of the data to use (default 100)")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write all numbers here")
    options = parser.parse_args()
    if Path(options.model).is_dir():
        options.model = str(Path(options.model).absolute())
    return options


def trl_main(job: dict[str, Any]) -> dict[str, Any]:
    """In the environment of TRL: show what it makes of conversations, or train on examples."""
    import datasets

    if "conversations" in job:
        prepared = trl_trainer(job, datasets.Dataset.from_list(job["conversations"])).train_dataset
        return {name: [list(row) for row in prepared[name]] for name in ("input_ids", "labels")}
    trainer = trl_trainer(job, datasets.Dataset.from_dict(job["examples"]))
    trainer.train()
    steps, logs = [], [entry for entry in trainer.state.log_history if "loss" in entry]
    for log, (_, batches) in zip(logs, groupby(trainer.batches, key=lambda batch: batch[0]), strict=True):
        _, losses, tokens, trained = zip(*batches, strict=True)
        means = [loss * sum(trained) / own for loss, own in zip(losses, trained, strict=True)]
        step = {"loss": math.fsum(losses), "unweighted_loss": math.fsum(means) / len(means)}
        step |= {"grad_norm": log["grad_norm"], "learning_rate": log["learning_rate"]}
        steps.append(step | {"tokens": sum(tokens), "trained_tokens": sum(trained)})
    return {"steps": steps, "versions": versions("trl")}


def trl_trainer(job: dict[str, Any], dataset: Any) -> Any:
    """An SFTTrainer whose `batches` hold step, loss (unrounded), tokens and trained tokens."""
    import peft
    import trl

    class Recorder(trl.SFTTrainer):
        def compute_loss(self, model: Any, inputs: Any, *args: Any, **options: Any) -> Any:
            tokens, trained = inputs["attention_mask"].sum(), (inputs["labels"][:, 1:] != IGNORED).sum()
            loss = super().compute_loss(model, inputs, *args, **options)
            # What is differentiated: already divided by the trained tokens of the whole step.
            self.batches.append((self.state.global_step, loss.item(), tokens.item(), trained.item()))
            return loss

    fixed = {"max_length": MAX_LENGTH, "packing": False, "bf16": False, "use_cpu": True, "logging_steps": 1}
    args = trl.SFTConfig(model_init_kwargs={"dtype": "float32"}, **fixed, **job["settings"])
    lora = peft.LoraConfig(task_type="CAUSAL_LM", **job["lora"]) if job["lora"] else None
    trainer = Recorder(model=job["model"], args=args, train_dataset=dataset, peft_config=lora)
    trainer.batches = []
    return trainer


def ask_trl(options: argparse.Namespace, folder: Path, **job: Any) -> Any:
    """Have `trl_main` do a job in the environment of TRL."""
    question, answer = folder / "job.json", folder / "answer.json"
    job["settings"] = {**job["settings"], "output_dir": str(folder / "trl")}
    question.write_text(json.dumps({**job, "model": options.model}), encoding="utf-8")
    run([options.trl_python, str(Path(__file__).absolute()), TRL_JOB, str(question), str(answer)], folder)
    return json.loads(answer.read_bytes())


def trl_examples(options: argparse.Namespace, folder: Path) -> Examples:
    """Ids and labels as TRL itself makes them of the rows: messages, completion only."""
    with options.data.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in islice(file, options.rows)]
    talks = [
        {part: [{"role": role, "content": row[key]}] for part, (role, key) in ROLES.items()} for row in rows
    ]
    return ask_trl(options, folder, conversations=talks, settings=SHARED, lora=None)


def sftui_recipe(options: argparse.Namespace, settings: dict[str, Any], lora: Any) -> dict[str, Any]:
    """The recipe of one comparison."""
    source = {"path": str(options.data.absolute()), "format": "question_answer", "limit": options.rows}
    return {
        "model": {"name_or_path": options.model, "quantization": "none", "dtype": "float32"},
        "adapter": lora and {**lora, "dtype": "float32"},
        "data": {"train": [source], "max_length": MAX_LENGTH, "overlength": "truncate"},
        "training": settings,
    }


def sftui_examples(recipe: dict[str, Any]) -> Examples:
    """Ids and labels as sftui trains on them."""
    from sftui.data.dataset import encode_dataset
    from sftui.data.sequences import labels
    from sftui.data.tokenizer import load_tokenizer
    from sftui.recipe import Recipe

    parsed = Recipe.model_validate(recipe)
    tokenizer = load_tokenizer(parsed.model.name_or_path)
    sequences = encode_dataset(parsed.data, tokenizer, parsed.training.seed).train
    ids = [list(sequence.input_ids) for sequence in sequences]
    return {"input_ids": ids, "labels": [labels(sequence) for sequence in sequences]}


def sftui_steps(folder: Path, recipe: dict[str, Any]) -> list[Step]:
    """Train; the steps as the run's events tell them, with the tokens of each instead of all so far."""
    (folder / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")  # JSON is YAML
    run([sys.executable, "-m", "sftui", "train", "recipe.yaml"], folder)
    (events,) = folder.glob("runs/*/events.jsonl")
    lines = map(json.loads, events.read_text(encoding="utf-8").splitlines())
    steps = [line for line in lines if line["type"] == "step"]
    for before, step in reversed(list(pairwise(steps))):
        step["tokens"] -= before["tokens"]
        step["trained_tokens"] -= before["trained_tokens"]
    return steps


def compare_masks(ours: Examples, theirs: Examples) -> dict[str, Any]:
    """Print and return where the two would train other tokens; ends the script if the ids differ."""
    if ours["input_ids"] != theirs["input_ids"]:
        raise SystemExit("sftui and TRL make different token ids of the same rows: nothing to compare")
    alone: Counter[str] = Counter()
    for ids, mine, other in zip(ours["input_ids"], ours["labels"], theirs["labels"], strict=True):
        for at in (at for at, label in enumerate(mine) if label != other[at]):
            alone[f"{'TRL' if mine[at] == IGNORED else 'sftui'}: {ids[at]} after {ids[at - 1]}"] += 1
    tokens = sum(map(len, ours["input_ids"]))
    counts = [sum(label != IGNORED for row in side["labels"] for label in row) for side in (ours, theirs)]
    print(f"{len(ours['input_ids'])} rows, {tokens:,} tokens, the same ids on both sides; trained by itself:")
    print(f"  sftui {counts[0]:,}, TRL {counts[1]:,}")
    for text, count in alone.most_common():
        print(f"  only by {text}, {count} times")
    return {"tokens": tokens, "trained": {"sftui": counts[0], "trl": counts[1]}, "only by": alone}


def compare_losses(kind: str, options: argparse.Namespace, folder: Path, data: Examples) -> dict[str, Any]:
    """Train both ways on the same examples, print the table and return all numbers."""
    rate, lora = KINDS[kind]
    settings = SHARED | {"max_steps": options.steps, "learning_rate": rate}
    folder.mkdir()
    ours = sftui_steps(folder, sftui_recipe(options, settings, lora))
    answer = ask_trl(options, folder, examples=data, settings=settings, lora=lora)
    pairs = list(zip(answer["steps"], ours, strict=True))
    if not all(math.isfinite(step["loss"]) for pair in pairs for step in pair):
        raise SystemExit(f"{kind}: a loss is not finite")
    print(f"\n{kind}: learning rate {rate:g}, LoRA {lora}\n  {answer['versions']}\n  {versions('sftui')}")
    print(f"{'step':>4} {'TRL':>12} {'sftui':>12} {'difference':>11}")
    for number, (a, b) in enumerate(pairs, 1):
        print(f"{number:>4} {a['loss']:>12.8f} {b['loss']:>12.8f} {b['loss'] - a['loss']:>11.1e}")

    def largest(name: str, relative: bool = False) -> float:
        return max(abs(b[name] - a[name]) / (a[name] if relative else 1) for a, b in pairs)

    found = {
        "largest difference": largest("loss"),
        "largest relative difference of gradient norms": largest("grad_norm", relative=True),
        "largest difference of learning rates": largest("learning_rate"),
        "largest difference of tokens in a step": max(largest("tokens"), largest("trained_tokens")),
        "if all micro-batches weighed the same": max(abs(a["unweighted_loss"] - a["loss"]) for a, _ in pairs),
    }
    print("\n".join(f"{name}: {value:.2g}" for name, value in found.items()))
    return {**found, "learning_rate": rate, "lora": lora, "sftui": ours, "trl": answer["steps"]}


def versions(package: str) -> str:
    """The versions of a package and of what it trains with."""
    names = (package, "torch", "transformers", "accelerate", "peft")
    return ", ".join(f"{name} {version(name)}" for name in names)


def run(command: list[str], folder: Path) -> None:
    """Run a command in `folder`, on the CPU; ends the script with the end of its output if it fails."""
    print(f"running {' '.join(command[:4])} ..", file=sys.stderr, flush=True)
    with (folder / "output.log").open("w+", encoding="utf-8") as log:
        cpu = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        if subprocess.run(command, cwd=folder, env=cpu, stdout=log, stderr=log).returncode:
            log.seek(0)
            raise SystemExit(f"{log.read()[-4000:]}\n{command[0]} has failed")


if __name__ == "__main__":
    if sys.argv[1:2] == [TRL_JOB]:
        answered = trl_main(json.loads(Path(sys.argv[2]).read_bytes()))
        Path(sys.argv[3]).write_text(json.dumps(answered), encoding="utf-8")
    else:
        sys.exit(main())
