"""What the guarantees cost: the same run with them and without, in turn, so that changes of the machine's speed affect both.

python -m tests.chaos.cost --rows 300000 --repeat 3
"""

import argparse
import json
import os
import statistics
import sys
from pathlib import Path

from deploy.bench.e2e import Bench

ROOT = Path(__file__).parents[2]
UNGUARDED = Path(__file__).parent / "unguarded"


def rate(rows: int, *, guarded: bool) -> float:
    """Rows per second of one run on a stack of its own; its content is compared with the bare chain's either way."""
    if guarded:
        os.environ.pop("PYTHONPATH", None)
    else:
        os.environ["PYTHONPATH"] = f"{UNGUARDED}{os.pathsep}{ROOT}"
    [measured] = Bench(rows, 1, {}, report=_report).run()
    return measured.rows_per_s


def _report(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.cost", description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    with_them: list[float] = []
    without: list[float] = []
    for _ in range(options.repeat):
        without.append(rate(options.rows, guarded=False))
        with_them.append(rate(options.rows, guarded=True))
    fast, slow = statistics.median(without), statistics.median(with_them)
    told = {
        "rows": options.rows,
        "with_guarantees_rows_per_s": with_them,
        "without_guarantees_rows_per_s": without,
        "cost": round(1 - slow / fast, 3),
    }
    sys.stdout.write(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
