"""How fast are rows made ready to train on: rendered, tokenised and masked, by sftui and by TRL?

`python tests/benchmarks/trl_prepare.py --tokenizer DIR --data FILE --trl-python PYTHON [--processes 2]`
takes rows of any format that sftui reads, written out as messages (without tools), and a tokenizer that
knows <|im_start|> and <|im_end|> (Qwen, SmolLM), and lets both prepare the same rows on the same number of
cores, in turn, several times. Both use the same ChatML template: TRL with the `{% generation %}` markers
that its assistant_only_loss needs, sftui without. TRL is timed from its dataset in memory to its tokenised
dataset (SFTTrainer's own preparation with assistant_only_loss, `datasets` caching off), sftui from the
file to its sequences, with an empty cache and the start of its processes included; the tokenizer is loaded
before on both sides. Both print how many tokens they have and how many of them are trained. Prints the
median of rows per second of each, and the median of the ratios of neighbouring runs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TIMES = 3
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}OPEN{{ message['content'] + '<|im_end|>' }}CLOSE"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
STOCK = TEMPLATE.replace("OPEN", "").replace("CLOSE", "")
MARKED = TEMPLATE.replace("OPEN", "{% generation %}").replace("CLOSE", "{% endgeneration %}")
JOBS = {"--trl-job": "trl_job", "--sftui-job": "sftui_job"}


def main() -> int:
    """Prepare the rows by turns; 1 if sftui is not at least five times as fast."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokenizer", required=True, type=Path)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--trl-python", required=True)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--copies", type=int, default=12, help="of the rows, made different by a number")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rows = Path(name) / "rows.jsonl"
        write_rows(options.data, rows, options.copies)
        results: dict[str, list[dict[str, Any]]] = {"--trl-job": [], "--sftui-job": []}
        for _ in range(TIMES):
            for job, python in (("--sftui-job", sys.executable), ("--trl-job", options.trl_python)):
                results[job].append(run(job, python, options.tokenizer, rows, options.processes, name))
                print(job.strip("-"), results[job][-1], flush=True)
    ours, theirs = (
        statistics.median(each["rows"] / each["seconds"] for each in results[job])
        for job in ("--sftui-job", "--trl-job")
    )
    pairs = zip(results["--sftui-job"], results["--trl-job"], strict=True)
    ratio = statistics.median(trl["seconds"] / sftui["seconds"] for sftui, trl in pairs)
    print(f"sftui {ours:,.0f} rows/s   TRL {theirs:,.0f} rows/s   ratio {ratio:.1f}")
    return int(ratio < 5)


def write_rows(data: Path, target: Path, copies: int) -> None:
    """The rows as messages, each several times with another beginning, so that nothing repeats."""
    from sftui.data.corpus import Corpus
    from sftui.recipe import DataSection

    corpus = Corpus(DataSection(train=[{"path": str(data)}]).train)
    conversations = [
        [{"role": m["role"], "content": m["content"]} for m in corpus[row].messages if m.get("content")]
        for row in range(len(corpus))
    ]
    with target.open("w", encoding="utf-8") as file:
        for copy in range(copies):
            for messages in conversations:
                first = {**messages[0], "content": f"({copy}) {messages[0]['content']}"}
                file.write(json.dumps({"messages": [first, *messages[1:]]}) + "\n")


def run(job: str, python: str, tokenizer: Path, rows: Path, processes: int, folder: str) -> dict[str, Any]:
    """One preparation in a process of its own."""
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        environment = {
            **os.environ,
            "SFTUI_CACHE": cache,
            "HF_DATASETS_CACHE": cache,
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false" if job == "--trl-job" else "true",
        }
        done = subprocess.run(
            [python, __file__, job, str(tokenizer), str(rows), str(processes)],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
    if done.returncode:
        raise SystemExit(done.stderr[-4000:])
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def sftui_job(tokenizer: str, rows: str, processes: int) -> dict[str, Any]:
    """By sftui, as its trainer does."""
    import time

    from sftui.data.dataset import encode_dataset
    from sftui.data.tokenizer import load_tokenizer
    from sftui.recipe import DataSection

    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:processes])
    template = Path(rows).with_name("stock.jinja")
    template.write_text(STOCK, encoding="utf-8")
    section = DataSection(train=[{"path": rows}], max_length=4096, chat_template=str(template))
    loaded = load_tokenizer(tokenizer, chat_template=section.chat_template)
    began = time.perf_counter()
    data = encode_dataset(section, loaded, 0)
    seconds = time.perf_counter() - began
    counts = data.train_counts
    return {
        "rows": counts.rows,
        "seconds": seconds,
        "tokens": counts.tokens,
        "trained": counts.trained_tokens,
    }


def trl_job(tokenizer: str, rows: str, processes: int) -> dict[str, Any]:
    """By TRL's SFTTrainer."""
    import time

    import datasets
    import trl
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:processes])
    datasets.disable_caching()
    loaded = AutoTokenizer.from_pretrained(tokenizer)
    loaded.chat_template = MARKED
    with Path(rows).open(encoding="utf-8") as file:
        messages = [json.loads(line)["messages"] for line in file]
    dataset = datasets.Dataset.from_dict({"messages": messages})
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(loaded),
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            num_key_value_heads=1,
        )
    )
    with tempfile.TemporaryDirectory() as folder:
        config = trl.SFTConfig(
            output_dir=folder,
            assistant_only_loss=True,
            dataset_num_proc=processes,
            max_length=4096,
            use_cpu=True,
            bf16=False,
            report_to=[],
        )
        trainer = trl.SFTTrainer(
            model=model, args=config, train_dataset=dataset.select(range(8)), processing_class=loaded
        )
        began = time.perf_counter()
        prepared = trainer._prepare_dataset(dataset, loaded, config, False, None, "train")
        seconds = time.perf_counter() - began
    return {
        "rows": len(prepared),
        "seconds": seconds,
        "tokens": sum(map(len, prepared["input_ids"])),
        "trained": sum(label != -100 for labels in prepared["labels"] for label in labels),
    }


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in JOBS:
        job = globals()[JOBS[sys.argv[1]]]
        print(json.dumps(job(sys.argv[2], sys.argv[3], int(sys.argv[4]))))
        sys.exit(0)
    sys.exit(main())
