"""What a program gets of a run that it watches."""

import json
from typing import Any

import pytest

from console.cli.watch import JsonLines
from console.client.ledger import StageProgress
from console.client.progress import Snapshot, by_key


def snapshot(elapsed_s: float, done: int, status: str = "running") -> Snapshot:
    stages = by_key([StageProgress("posts", "crawler", 10, 1_000, done, 0, done * 100)])
    return Snapshot("r1", status, elapsed_s, ("posts",), stages)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_has_the_counts_the_rate_and_what_is_to_go(capsys: pytest.CaptureFixture[str]) -> None:
    JsonLines().show(snapshot(12.5, 3))
    [line] = lines(capsys)
    assert (line["run_id"], line["status"], line["elapsed_s"], line["left_s"]) == (
        "r1",
        "running",
        12.5,
        None,
    )
    assert line["progress"] == [
        {
            "dataset": "posts",
            "stage": "crawler",
            "batches_planned": 10,
            "rows_planned": 1_000,
            "batches_done": 3,
            "batches_dead": 0,
            "rows": 300,
            "rows_to_go": None,
            "rows_per_s": None,
            "left_s": None,
            "lag_s": 0.0,
        }
    ]


def test_what_was_told_is_not_told_again_and_a_second_has_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = JsonLines()
    for elapsed_s, done in ((0.0, 1), (2.0, 1), (2.2, 2), (2.4, 3), (3.4, 4)):
        shown.show(snapshot(elapsed_s, done))
    assert [line["elapsed_s"] for line in lines(capsys)] == [0.0, 2.2, 3.4]


def test_the_end_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    shown = JsonLines()
    shown.show(snapshot(5.0, 9))
    shown.show(snapshot(5.1, 10, "succeeded"))
    assert [line["status"] for line in lines(capsys)] == ["running", "succeeded"]
