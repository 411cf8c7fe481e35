"""`onpoint bench e2e` as a user calls it: a stack of its own, equal content, every figure there, nothing left."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from shared.events.topology import SERVICES

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]


def test_a_small_bench_tells_every_figure_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "console", "bench", "e2e", "--rows", "3000", "--json"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["rows"] == 3000
    assert told["ratio"] == pytest.approx(told["rows_per_s"] / told["bare_rows_per_s"])
    assert set(told["services"]) == set(SERVICES)
    for used in told["services"].values():
        assert set(used) == {"busy_s", "wait_s", "cpu_s", "peak_rss_bytes"}
        assert used["busy_s"] + used["wait_s"] == pytest.approx(told["seconds"], abs=1)
        assert used["peak_rss_bytes"] > 10 * 2**20
    assert list(tmp_path.iterdir()) == []
    assert not [
        p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or [])
    ]
