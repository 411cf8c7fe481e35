from datetime import UTC, datetime

import pytest

from console.client.ledger import RunRow, StageProgress
from console.client.phase import phase
from console.client.progress import by_key

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)


def run(status: str = "running", *, taken_up: bool = True, datasets: tuple[str, ...] = ("posts",)) -> RunRow:
    return RunRow("r", status, None, "me", NOW, NOW if taken_up else None, None, datasets)


def crawled(dataset: str, planned: int | None, done: int, rows: int) -> StageProgress:
    return StageProgress(dataset, "crawler", planned, None, done, 0, rows)


def test_a_run_that_was_just_asked_for_waits_for_the_crawler() -> None:
    asked = run(taken_up=False)

    assert asked.state == "asked"
    assert phase(asked, {}, 2.0) == "asked, waiting for the crawler"


def test_the_phase_of_a_run_that_no_crawler_takes_up_names_where_to_look() -> None:
    note = phase(run(taken_up=False), {}, 75.0)

    assert note is not None
    assert note.startswith("asked, waiting for the crawler for 1 min 15 s: is it running? see `onpoint ps`")
    assert "onpoint dlq list" in note


def test_a_run_that_the_ledger_does_not_know_is_told_after_a_while() -> None:
    assert phase(None, {}, 2.0) is None
    assert "no service has taken the run up yet" in (phase(None, {}, 11.0) or "")


def test_a_crawl_without_a_finished_batch_is_told() -> None:
    assert phase(run(), {}, 60.0) == "crawling: no batch is done yet"
    assert phase(run(), by_key([crawled("posts", None, 0, 0)]), 60.0) == "crawling: no batch is done yet"


def test_a_crawl_whose_end_is_not_known_tells_its_records() -> None:
    stages = by_key([crawled("posts", 3, 3, 1_200), crawled("users", None, 1, 34)])

    assert phase(run(datasets=("posts", "users")), stages, 60.0) == "crawling: 1,234 records so far"


def test_when_every_batch_is_known_the_bars_alone_are_shown() -> None:
    assert phase(run(), by_key([crawled("posts", 3, 1, 100)]), 60.0) is None


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled", "partial"])
def test_a_run_that_has_ended_has_no_phase(status: str) -> None:
    ended = run(status, taken_up=False)

    assert ended.state == status
    assert phase(ended, {}, 60.0) is None
