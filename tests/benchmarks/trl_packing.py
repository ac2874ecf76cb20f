"""How fast, and how full, does best-fit decreasing pack a dataset: sftui's and TRL's `pack_dataset`?

`python tests/benchmarks/trl_packing.py --trl-python PYTHON [--lengths 1000000] [--max-length 2048]
[--data FILE --model DIR]` packs so many log-normal lengths (median 245, sigma 0.8; longer ones are
taken as max_length) over the whole set at once, by turns, several times. *Assignment* is the time from
the lengths to which sequence goes into which bin; of TRL's, up to the moment where it begins to move
tokens. *Rows* adds the packed token ids of all bins, from ids in memory to ids in memory (TRL through
`datasets`, kept in memory, one column, one batch). With --data and --model it also says how full the bins
of that dataset are: padded batches, next_fit, best_fit and TRL's default (packed by 1,000 rows at a
time). Prints bins of each and the medians of the ratios; exits with 1 if TRL takes fewer bins.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TIMES = 5


def main() -> int:
    """Pack by turns and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trl-python", required=True)
    parser.add_argument("--lengths", type=int, default=1_000_000)
    parser.add_argument("--max-length", type=int, default=2048)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        import numpy as np

        chance = np.random.default_rng(0)
        lengths = chance.lognormal(5.5, 0.8, options.lengths).astype(np.int64)
        file = Path(folder) / "lengths.npy"
        np.save(file, np.clip(lengths, 1, options.max_length))
        results: dict[str, list[dict[str, Any]]] = {"sftui": [], "trl": []}
        for _ in range(TIMES):
            for job, python in (("sftui", sys.executable), ("trl", options.trl_python)):
                results[job].append(run(job, python, file, options.max_length, 0))
                print(job, results[job][-1], flush=True)
        for name in ("assignment", "rows"):
            pairs = zip(results["sftui"], results["trl"], strict=True)
            ratios = [theirs[name] / ours[name] for ours, theirs in pairs]
            print(f"{name}: sftui {statistics.median(ratios):.0f} times as fast")
        if options.data and options.model:
            fill(options, Path(folder) / "data.npy")
    return int(results["trl"][0]["bins"] < results["sftui"][0]["bins"])


def fill(options: argparse.Namespace, file: Path) -> None:
    """How full the bins of a dataset are."""
    import numpy as np

    from sftui.data.dataset import encode_dataset
    from sftui.data.packing.summary import summarise
    from sftui.data.tokenizer import load_tokenizer
    from sftui.recipe import DataSection

    section = DataSection(train=[{"path": str(options.data)}], max_length=options.max_length, bad_rows="drop")
    data = encode_dataset(section, load_tokenizer(str(options.model)), 0)
    lengths = [len(sequence) for sequence in data.train]
    np.save(file, np.array(lengths))
    for strategy, batch in (("none", 8), ("next_fit", 1), ("best_fit", 1)):
        summary = summarise(lengths, strategy, options.max_length, batch)
        print(
            f"{options.data.name} {strategy}: {summary.bins:,} of {summary.lower_bound:,}, {summary.fill:.2%}"
        )
    theirs = run("trl", options.trl_python, file, options.max_length, 1000)["bins"]
    print(
        f"{options.data.name} TRL, its default: {theirs:,}, {sum(lengths) / theirs / options.max_length:.2%}"
    )


def run(job: str, python: str, file: Path, max_length: int, batch: int) -> dict[str, Any]:
    """One packing in a process of its own; `batch` rows at a time, 0 for all at once."""
    done = subprocess.run(
        [python, __file__, "--job", job, str(file), str(max_length), str(batch)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr[-4000:])
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def sftui_job(file: str, max_length: int, batch: int) -> dict[str, Any]:
    """By sftui."""
    import numpy as np

    from sftui.data.packing.layout import lay_out

    lengths = np.load(file)
    ids = np.arange(int(lengths.sum()), dtype=np.int32)
    ends = np.cumsum(lengths)
    lay_out(lengths[:1000], "best_fit", max_length)
    began = time.perf_counter()
    layout = lay_out(lengths, "best_fit", max_length)
    assignment = time.perf_counter() - began
    starts = (ends - lengths)[layout.sequences]
    pieces = zip((starts + layout.starts).tolist(), (starts + layout.ends).tolist(), strict=True)
    packed = np.concatenate([ids[start:end] for start, end in pieces])
    rows = np.split(packed, np.cumsum(layout.tokens())[:-1])
    return {"bins": len(rows), "assignment": assignment, "rows": time.perf_counter() - began}


def trl_job(file: str, max_length: int, batch: int) -> dict[str, Any]:
    """By TRL."""
    import datasets
    import numpy as np
    import pyarrow as pa
    import trl.data_utils
    from trl import pack_dataset

    class Assigned(Exception):
        pass

    def stop(*_: Any) -> None:
        raise Assigned

    datasets.disable_caching()
    datasets.disable_progress_bars()
    lengths = np.load(file)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    ids = pa.array(np.arange(int(offsets[-1]), dtype=np.int32))
    table = pa.table({"input_ids": pa.ListArray.from_arrays(pa.array(offsets), ids)})
    dataset = datasets.Dataset(datasets.table.InMemoryTable(table))
    options = {"batch_size": batch or len(lengths), "keep_in_memory": True}
    began = time.perf_counter()
    packed = pack_dataset(dataset, max_length, "bfd", map_kwargs=options)
    rows = time.perf_counter() - began
    take, trl.data_utils.pc.take = trl.data_utils.pc.take, stop
    began = time.perf_counter()
    try:
        trl.data_utils._pack_bfd(table, max_length)
    except Assigned:
        assignment = time.perf_counter() - began
    trl.data_utils.pc.take = take
    return {"bins": len(packed), "assignment": assignment, "rows": rows}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--job"]:
        job = {"sftui": sftui_job, "trl": trl_job}[sys.argv[2]]
        print(json.dumps(job(sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))))
        sys.exit(0)
    sys.exit(main())
