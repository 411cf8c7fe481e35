from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console, RenderableType

from console.cli.progress import plain_lines, render
from console.client.ledger import StageProgress
from console.client.progress import STAGES, Key, Snapshot, by_key, estimates_of, fraction, is_over
from shared.events.topology import Stage
from shared.progress.estimate import Estimate

NOW = datetime(2026, 11, 29, 6, 0, tzinfo=UTC)


def stage(
    name: Stage = "crawler",
    *,
    dataset: str = "posts",
    planned: int | None = 10,
    rows_planned: int | None = None,
    done: int = 0,
    dead: int = 0,
    rows: int = 0,
) -> StageProgress:
    return StageProgress(dataset, name, planned, rows_planned, done, dead, rows)


def text(renderable: RenderableType, width: int) -> str:
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def snapshot(*datasets: str, **changes: object) -> Snapshot:
    stages = [
        stage(name, dataset=dataset, planned=1_234, done=617, rows=123_456_789)
        for dataset in datasets
        for name in STAGES
    ]
    values: dict[str, object] = {
        "run_id": "r-20261123T051530Z-1a2b3c4d",
        "status": "running",
        "elapsed_s": 72.0,
        "datasets": datasets,
        "stages": by_key(stages),
        "estimates": {(s.dataset, s.stage): Estimate(123_456_789, 123_456.7, 1_000.0, 70.0) for s in stages},
    }
    return Snapshot(**(values | changes))  # type: ignore[arg-type]  # a test's shorthand


def test_a_stage_is_over_when_every_batch_is_done_or_dead() -> None:
    assert is_over(stage(planned=10, done=9, dead=1))
    assert is_over(stage(planned=0))
    assert not is_over(stage(planned=10, done=9))
    assert not is_over(stage(planned=None, done=9))
    assert not is_over(None)


def test_the_share_that_is_done_is_never_more_than_all_and_unknown_without_a_plan() -> None:
    assert fraction(stage(planned=10, done=4, dead=1)) == 0.5
    assert fraction(stage(planned=10, done=12)) == 1.0
    assert fraction(stage(planned=0)) == 1.0
    assert fraction(stage(planned=None, rows_planned=200, rows=50)) == 0.25
    assert fraction(stage(planned=None)) is None
    assert fraction(None) is None


def test_stages_of_each_dataset_are_estimated_by_the_ledgers_clock() -> None:
    """Five of ten batches of 100 rows in ten seconds, of two datasets."""
    stages = [
        replace(
            stage(dataset=name, done=5, rows=500),
            read_at=NOW,
            begun_at=NOW - timedelta(seconds=10),
            last_at=NOW,
        )
        for name in ("posts", "users")
    ]
    told = estimates_of(by_key(stages))
    assert {key: (each.rows_per_s, each.left_s) for key, each in told.items()} == {
        ("posts", "crawler"): (50, 10),
        ("users", "crawler"): (50, 10),
    }
    assert snapshot("posts", "users", estimates=told).left_s == 10


def test_a_run_has_no_time_left_while_one_of_its_stages_cannot_be_told() -> None:
    told = {
        ("posts", "crawler"): Estimate(10, 1.0, 10.0, 0.0),
        ("posts", "loader"): Estimate(10, None, None, 0.0),
    }
    assert snapshot("posts", estimates=told).left_s is None


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("height", [24, 60])
@pytest.mark.parametrize("count", [1, 3, 7, 40])
def test_the_screen_is_never_overrun(width: int, height: int, count: int) -> None:
    lines = text(
        render(snapshot(*(f"dataset_{n}" for n in range(count))), width=width, height=height), width
    ).splitlines()

    assert len(lines) < height
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", [80, 120])
def test_with_room_each_stage_has_its_batches_rows_pace_and_time_left(width: int) -> None:
    shown = text(render(snapshot("posts"), width=width, height=24), width)

    store = next(line for line in shown.splitlines() if "store" in line)
    assert "617/1,234" in store
    assert "123,456,789 rows" in store
    assert "123,457/s" in store
    assert "16 min 40 s" in store
    assert "━" in store


def test_with_many_datasets_each_has_one_line_and_the_busy_ones_stay_on_the_screen() -> None:
    names = tuple(f"d{n}" for n in range(30))
    stages: dict[Key, StageProgress] = {}
    for number, dataset in enumerate(names):
        done = 10 if number < 25 else 5 if number < 28 else 0
        stages |= by_key([stage(name, dataset=dataset, done=done, rows=done) for name in STAGES])

    shown = text(render(snapshot(*names, stages=stages), width=80, height=12), 80)

    assert all(f"d{number} " in shown for number in (25, 26, 27))
    assert "and 25 more" in shown


def test_dead_batches_are_shown_as_text_so_that_colour_is_not_needed() -> None:
    stages = by_key([stage("loader", done=3, dead=2)])

    assert "5/10 (2 dead)" in text(render(snapshot("posts", stages=stages), width=80, height=24), 80)


def test_before_anything_is_known_the_datasets_are_shown_with_a_note() -> None:
    shown = text(
        render(
            snapshot("posts", stages={}, estimates={}, status="requested", note="the crawler is away"),
            width=80,
            height=24,
        ),
        80,
    )

    assert "requested" in shown
    assert "posts" in shown
    assert "the crawler is away" in shown


def test_a_log_gets_one_line_for_each_dataset_of_which_something_is_known() -> None:
    stages = by_key([stage("crawler", done=3, rows=1_500), stage("loader", done=1, dead=1, rows=500)])

    assert plain_lines(snapshot("posts", "users", stages=stages)) == {
        "posts": "posts: crawl 3/10 batches, load 2/10 (1 dead); 1,500 rows crawled",
        "left": "about 16 min 40 s left",
    }


@pytest.mark.parametrize("height", [6, 100])
def test_a_replay_shows_the_stages_that_it_has(height: int) -> None:
    names: tuple[Stage, ...] = ("crawler", "processor", "loader")
    stages = [stage(name, dataset=dataset, done=10) for dataset in ("posts", "users") for name in names]
    shown = text(render(snapshot("posts", "users", stages=by_key(stages)), width=100, height=height), 100)
    assert [word for word in ("crawl", "process", "convert", "load", "store") if word in shown] == [
        "crawl",
        "process",
        "load",
    ]


def test_what_a_run_waits_for_stands_below_its_heading() -> None:
    lines = text(render(snapshot("posts", phase="asked, waiting for the crawler"), width=80, height=24), 80)

    assert lines.splitlines()[1].rstrip() == "asked, waiting for the crawler"


@pytest.mark.parametrize("height", [8, 24])
def test_a_phase_keeps_to_the_screen(height: int) -> None:
    shown = snapshot(*(f"dataset{n}" for n in range(30)), phase="crawling: 1,234 records so far")

    assert len(text(render(shown, width=80, height=height), 80).splitlines()) < height


def test_the_oldest_batch_that_waits_for_a_stage_is_its_lag_where_there_is_room() -> None:
    waits = replace(stage("loader", done=3), read_at=NOW, waiting_since=NOW - timedelta(seconds=42))
    shown = text(render(snapshot("posts", stages=by_key([waits])), width=120, height=24), 120)
    assert "lag" in shown.splitlines()[2]
    assert "42 s" in next(line for line in shown.splitlines() if "load" in line)
    assert "42 s" not in text(render(snapshot("posts", stages=by_key([waits])), width=80, height=24), 80)
