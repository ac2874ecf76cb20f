"""What finding duplicates costs: `python tests/benchmarks/duplicates.py [ROWS]`.

Sketches of random texts, then all of them compared. Budget: 60 µs a sketch of 150 words, 30 s and 1 GB for
a million rows.
"""

from __future__ import annotations

import random
import resource
import sys
import time

import numpy as np

from sftui.data.findings.duplicates import SKETCH_BYTES, duplicate_groups, sketch


def main(rows: int) -> None:
    draw = random.Random(1)
    words = [f"word{number}" for number in range(5000)]
    texts = [" ".join(draw.choices(words, k=150)) for _ in range(5000)]
    sketch(texts[0])
    begin = time.perf_counter()
    made = b"".join(map(sketch, texts))
    print(f"sketch: {(time.perf_counter() - begin) / len(texts) * 1e6:.1f} µs a row of 150 words")
    unrelated = np.random.default_rng(1).integers(0, 256, (rows, SKETCH_BYTES), np.uint8)
    alike = unrelated.copy()
    # Every row is one of a tenth of all, with a few slots changed.
    alike[:, 8:] = alike[np.arange(rows) % max(1, rows // 10), 8:]
    for column in np.random.default_rng(2).integers(8, SKETCH_BYTES, 6):
        alike[:, column] = unrelated[:, column]
    for name, table in (("unrelated", unrelated), ("ten nearly alike", alike), ("all the same", made)):
        data = table.tobytes() if not isinstance(table, bytes) else made[:SKETCH_BYTES] * rows
        begin = time.perf_counter()
        report = duplicate_groups(data, rows * 9 // 10)
        took = time.perf_counter() - begin
        counts = f"{len(report.exact.rows):,} exact, {len(report.near.rows):,} near"
        print(f"{rows:,} rows, {name}: {took:.1f} s, {counts}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
