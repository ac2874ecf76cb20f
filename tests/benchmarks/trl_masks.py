"""How often is the mask right, for sftui and for TRL's `assistant_only_loss`, on stock chat templates?

`SFTUI_TOKENIZERS=DIR python tests/benchmarks/trl_masks.py --trl-python PYTHON` takes the rows, the models and
the truth of `tests/stock_templates.py`: stock templates marked by hand, read by transformers. TRL, which may
live in another environment, is given the stock tokenizers and does what its SFTTrainer does with them: it
takes a training template of its own if it knows the stock one to the letter, and refuses otherwise. Rows that
the stock template itself refuses are left out. A token that begins before a turn and ends in it counts as
right either way.

Of TRL's rows that are not right: `other text`, its training template writes another text than the stock
one; `line breaks too`, what is right and the line breaks that the template writes right before a turn, which
are in the generation prompt, or after its end, where nothing is sampled; `other mask`, the same text with
other tokens trained; `raises`, an error.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

TRL_JOB = "--trl-job"
Row = dict[str, Any]  # messages, tools, ids, mask, and the tokens `either` and `breaks`


def main() -> None:
    """Print the table."""
    options = parse_arguments()
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from tests.stock_templates import stock_models

    models = stock_models()
    if not models:
        raise SystemExit("SFTUI_TOKENIZERS names no directory of models")
    print(f"{'model':16}{'rows':>8}{'sftui':>9}{'TRL':>9}   TRL's other rows", flush=True)
    report = {}
    with tempfile.TemporaryDirectory() as name:
        for stock in models:
            path = Path(name) / f"{stock.name}.jsonl"
            ours = write_truth(stock, path, options.limit)
            command = [options.trl_python, __file__, TRL_JOB, str(stock.directory), str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"TRL's side failed:\n{done.stderr[-2000:]}")
            theirs = json.loads(done.stdout.splitlines()[-1])
            rows = sum(ours.values())
            report[stock.name] = {"rows": rows, "sftui": ours, "trl": theirs}
            others = ", ".join(f"{count} {what}" for what, count in theirs["rows"].items() if what != "right")
            said = f"{others}{': ' if theirs['error'] else ''}{theirs['error']}"
            share = theirs["rows"].get("right", 0) / rows
            print(f"{stock.name:16}{rows:8}{ours['right'] / rows:9.1%}{share:9.1%}   {said}", flush=True)
            path.unlink()
    total = sum(each["rows"] for each in report.values())
    ours_right = sum(each["sftui"]["right"] for each in report.values())
    theirs_right = sum(each["trl"]["rows"].get("right", 0) for each in report.values())
    print(f"{'all':16}{total:8}{ours_right / total:9.1%}{theirs_right / total:9.1%}")
    if options.out:
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Compare the masks of sftui with those of TRL.")
    parser.add_argument("--trl-python", required=True, help="a Python interpreter that has trl")
    parser.add_argument("--limit", type=int, help="first rows of each file to use (default all)")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write all numbers here")
    return parser.parse_args()


def write_truth(stock: Any, path: Path, limit: int | None) -> Counter[str]:
    """Write the rows of all files with what is right for them; counts of sftui's own rows."""
    from transformers import AutoTokenizer

    from sftui.data.tokenizer import load_tokenizer
    from tests.stock_templates import DATA, FILES, conversations, for_model, truth

    reference = AutoTokenizer.from_pretrained(stock.directory)
    tokenizer = load_tokenizer(str(stock.directory))
    counts: Counter[str] = Counter(right=0)
    with path.open("w", encoding="utf-8") as file:
        for name in FILES:
            if not (DATA / name).is_file():
                continue
            for conversation in for_model(stock, conversations(name)[:limit]):
                expected = truth(reference, stock, conversation)
                if expected is None:
                    continue
                row: Row = {
                    "messages": conversation.messages,
                    "tools": conversation.tools,
                    "ids": expected.ids,
                    "mask": expected.mask,
                    "either": straddling(tokenizer, expected),
                    "breaks": line_breaks(tokenizer, expected),
                }
                counts[judged(row, *sftui_row(tokenizer, conversation))] += 1
                file.write(json.dumps(row) + "\n")
    return counts


def straddling(tokenizer: Any, expected: Any) -> list[int]:
    """Tokens that begin before a turn and end in it."""
    offsets = tokenizer.backend.encode(expected.text, add_special_tokens=False).offsets
    starts = [start for start, _ in expected.spans]
    return [i for i, (begin, end) in enumerate(offsets) if any(begin < start < end for start in starts)]


def line_breaks(tokenizer: Any, expected: Any) -> list[int]:
    """Tokens of white space right before a turn or after it."""
    offsets = tokenizer.backend.encode(expected.text, add_special_tokens=False).offsets
    starts, ends = {start for start, _ in expected.spans}, {end for _, end in expected.spans}
    return [
        i
        for i, (begin, end) in enumerate(offsets)
        if (end in starts or begin in ends) and expected.text[begin:end].isspace()
    ]


def sftui_row(tokenizer: Any, conversation: Any) -> tuple[list[int], list[int]]:
    """Ids and mask of sftui; of a row that it refuses, none."""
    from sftui.data.mask import trained_mask
    from sftui.errors import InputError

    try:
        located = tokenizer.trained_text(conversation, "assistant")
    except InputError:
        return [], []
    encoding = tokenizer.backend.encode(located.text, add_special_tokens=False)
    ids, offsets = encoding.ids, encoding.offsets
    return ids, list(trained_mask(ids, offsets, located.text, located.spans, tokenizer.special_ids))


def judged(row: Row, ids: list[int], mask: list[int]) -> str:
    """What `ids` and `mask` are for `row`."""
    if not ids:
        return "raises"
    if ids != row["ids"]:
        return "other text"
    pairs = enumerate(zip(mask, row["mask"], strict=True))
    wrong = {i for i, (one, other) in pairs if one != other} - {*row["either"]}
    if wrong:
        return "line breaks too" if wrong <= {*row["breaks"]} else "other mask"
    return "right"


def trl_job(directory: str, path: Path) -> None:
    """TRL's side: what SFTTrainer with `assistant_only_loss` makes of each row; prints counts as JSON."""
    from transformers import AutoTokenizer
    from trl.chat_template_utils import get_training_chat_template, has_generation_markers

    tokenizer = AutoTokenizer.from_pretrained(directory)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    template, error = None, ""
    try:
        if not has_generation_markers(tokenizer.chat_template):
            template = get_training_chat_template(tokenizer)
    except Exception as raised:
        error = f"{type(raised).__name__}: {str(raised).splitlines()[0][:90]}"
        print(json.dumps({"rows": {"raises": len(rows)}, "error": error}))
        return
    counts: Counter[str] = Counter()
    for row in rows:
        try:
            made = tokenizer.apply_chat_template(
                row["messages"],
                tools=row["tools"],
                chat_template=template,
                tokenize=True,
                return_dict=True,
                return_assistant_tokens_mask=True,
            )
            if 1 not in made["assistant_masks"]:
                raise RuntimeError("no assistant tokens")
        except Exception as raised:
            error = error or f"{type(raised).__name__}: {str(raised).splitlines()[0][:90]}"
            counts["raises"] += 1
            continue
        counts[judged(row, made["input_ids"], made["assistant_masks"])] += 1
    print(json.dumps({"rows": counts, "error": error}))


if __name__ == "__main__":
    if sys.argv[1:2] == [TRL_JOB]:
        trl_job(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
