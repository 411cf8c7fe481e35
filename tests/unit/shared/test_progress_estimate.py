"""When a run is over: by the results that the ledger has, nothing else."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.events.topology import PARENT_STAGE, STAGES, Stage
from shared.progress.estimate import Estimate, StageRecord, estimate, run_left_s
from tests.support.records import ROOT

START = datetime(2026, 11, 29, 6, 0, tzinfo=UTC)
RUNS = ROOT / "tests" / "data" / "progress"


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def crawler(**changes: Any) -> StageRecord:
    """40 of 100 batches of 1,000 rows, one a second; the second half of them from second 20 on."""
    values: dict[str, Any] = {
        "stage": "crawler",
        "batches_planned": 100,
        "rows_planned": None,
        "batches_ended": 40,
        "rows": 40_000,
        "begun_at": at(0),
        "half_at": at(20),
        "half_batches": 20,
        "half_rows": 20_000,
        "last_at": at(40),
    }
    return StageRecord(**values | changes)


def of_crawler(record: StageRecord, now_s: float) -> Estimate:
    return estimate([record], at(now_s))["crawler"]


def test_a_steady_stage_takes_as_long_for_the_rest_as_its_rate_says() -> None:
    assert of_crawler(crawler(), 40) == Estimate(60_000, 1_000.0, 60.0, 40.0)


def test_the_rate_is_that_of_the_latest_half() -> None:
    slower = crawler(last_at=at(60))  # 20 seconds for the first 20 batches, 40 for the next 20
    assert of_crawler(slower, 60).left_s == pytest.approx(120)


def test_the_time_since_the_last_result_is_behind_the_batches_in_hand() -> None:
    assert of_crawler(crawler(), 41.5).left_s == pytest.approx(58.5)


def test_a_stage_that_stands_still_has_ever_more_time_to_go() -> None:
    left = [of_crawler(crawler(), now_s).left_s or 0.0 for now_s in (60, 120, 600)]
    assert left == sorted(left)
    assert left[-1] > 600


def test_without_a_number_of_batches_the_promised_rows_count() -> None:
    unsealed = crawler(batches_planned=None, rows_planned=100_000)
    assert of_crawler(unsealed, 40) == Estimate(60_000, 1_000.0, 60.0, 40.0)


def test_without_a_number_of_either_nothing_is_told() -> None:
    found = of_crawler(crawler(batches_planned=None), 40)
    assert (found.rows_to_go, found.left_s, found.rows_per_s) == (None, None, 1_000.0)


def test_nothing_is_told_from_no_result() -> None:
    found = of_crawler(crawler(batches_ended=0, rows=0, half_at=None, last_at=None), 40)
    assert (found.rows_per_s, found.left_s) == (None, None)


def test_a_stage_that_is_through_has_no_time_to_go() -> None:
    assert of_crawler(crawler(batches_planned=40), 90) == Estimate(0, None, 0.0, 40.0)


def test_a_later_stage_has_the_share_of_rows_that_it_had_so_far() -> None:
    """A tenth of the rows is rejected: 9,000 of each 10,000 go on."""
    promised = {"batches_planned": None, "rows_planned": 100_000}
    processor = crawler(
        stage="processor", batches_ended=20, rows=18_000, half_batches=10, half_rows=9_000, **promised
    )
    found = estimate([crawler(**promised), processor], at(40))
    assert found["processor"].rows_to_go == 90_000 - 18_000


def test_batches_that_died_before_a_stage_are_not_waited_for() -> None:
    crawled = crawler(batches_planned=40, batches_dead=2)
    processed = crawler(stage="processor", batches_planned=40, batches_ended=38, batches_dead=3)
    loaded = crawler(stage="loader", batches_planned=40, batches_ended=35)
    found = estimate([crawled, processed, loaded], at(40))
    assert {stage: each.left_s for stage, each in found.items()} == {
        "crawler": 0,
        "processor": 0,
        "loader": 0,
    }


def test_a_stage_is_not_through_before_the_one_before_it() -> None:
    """It keeps pace and has nothing to do but wait."""
    quick = crawler(stage="processor", begun_at=at(39), half_at=at(39.5))
    found = estimate([crawler(), quick], at(40))
    assert found["processor"].left_s == found["crawler"].left_s


def test_the_sink_is_through_a_while_after_the_processor_however_late_it_stores() -> None:
    processor = crawler(stage="processor")
    sink = crawler(stage="s3sink", batches_ended=0, rows=0, half_at=None, last_at=None, delay_s=5.0)
    found = estimate([crawler(), processor, sink], at(40))
    assert found["s3sink"].left_s == pytest.approx((found["processor"].left_s or 0) + 5)


def test_a_run_takes_as_long_as_its_last_stage_and_is_unknown_while_one_is() -> None:
    known, unknown = Estimate(1, 1.0, 10.0, 0.0), Estimate(None, None, None, 0.0)
    later: dict[Stage, Estimate] = {"crawler": known, "loader": Estimate(5, 1.0, 30.0, 0.0)}
    assert run_left_s([{"crawler": known}, later]) == 30
    assert run_left_s([{"crawler": known}, {"crawler": unknown}]) is None
    assert run_left_s([]) is None


def records_at(run: dict[str, Any], now_s: float) -> list[StageRecord]:
    """What the ledger had of a recorded run at a moment. The number of batches is known with the last crawled one."""
    times = {(stage, sequence): at_s for stage, sequence, _, at_s in run["results"]}
    crawled = [at_s for (stage, _), at_s in times.items() if stage == "crawler"]
    found = []
    for stage in STAGES:
        parent = PARENT_STAGE[stage]
        seen = [
            (at_s, sequence, rows)
            for name, sequence, rows, at_s in run["results"]
            if name == stage and at_s <= now_s
        ]
        half = seen[: (len(seen) + 1) // 2]
        given = {
            sequence: at_s for (name, sequence), at_s in times.items() if name == parent and at_s <= now_s
        }
        newest = max(seen, key=lambda each: given.get(each[1], 0.0)) if seen else None
        found.append(
            StageRecord(
                stage=stage,
                batches_planned=len(crawled) if now_s >= max(crawled) else None,
                rows_planned=run["rows_promised"],
                batches_ended=len(seen),
                rows=sum(rows for _, _, rows in seen),
                begun_at=at(min(given.values())) if given else at(0) if parent is None else None,
                half_at=at(half[-1][0]) if half else None,
                half_batches=len(half),
                half_rows=sum(rows for _, _, rows in half),
                last_at=at(seen[-1][0]) if seen else None,
                delay_s=newest[0] - given[newest[1]] if newest and parent else 0.0,
            )
        )
    return found


@pytest.mark.parametrize("name", ["unlimited", "paced"])
def test_from_a_third_of_a_recorded_run_on_its_end_is_told_within_a_fifth(name: str) -> None:
    run = json.loads((RUNS / f"{name}.json").read_text())
    finished_s: float = run["finished_s"]
    moments = [finished_s * (1 / 3 + 2 / 3 * part / 40) for part in range(40)]
    told = [(now_s, run_left_s([estimate(records_at(run, now_s), at(now_s))])) for now_s in moments]
    wrong = [
        (round(now_s, 1), left_s)
        for now_s, left_s in told
        if left_s is None or abs(now_s + left_s - finished_s) > 0.2 * finished_s
    ]
    assert not wrong
