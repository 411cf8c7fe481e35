from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from console.cli.runs import document, fitting, render_runs, snapshot
from console.cli.screen import PIPED
from console.client.ledger import RunRow, StageProgress

ASKED = datetime(2026, 11, 23, 5, 15, 30, tzinfo=UTC)
NOW = ASKED + timedelta(seconds=75)


def run(run_id: str = "r-20261123T051530Z-1a2b3c4d", status: str = "running", **changes: object) -> RunRow:
    values: dict[str, object] = {
        "reason": None,
        "requested_by": "me",
        "requested_at": ASKED,
        "started_at": ASKED,
        "finished_at": None,
        "datasets": ("comments", "posts", "users"),
    }
    return RunRow(run_id, status, **(values | changes))  # type: ignore[arg-type]  # a test's shorthand


def text(runs: list[RunRow], width: int) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(render_runs(runs, NOW, width=width))
    return capture.get()


@pytest.mark.parametrize("width", [80, 120])
def test_a_line_tells_what_a_run_was_and_keeps_to_the_screen(width: int) -> None:
    shown = text(
        [
            run(),
            run(
                "2026-11-22-daily",
                "succeeded",
                finished_at=ASKED + timedelta(seconds=2981),
                rows_accepted=2_500_000,
            ),
        ],
        width,
    )

    assert max(map(len, shown.splitlines())) <= width
    assert "r-20261123T051530Z-1a2b3c4d" in shown
    assert "1 min 15 s" in shown
    assert len(shown.splitlines()) == 3
    assert "succeeded" in shown
    assert "49 min 41 s" in shown
    assert "2,500,000" in shown


def test_the_longest_id_can_be_read_whole_and_the_rest_of_its_line_too() -> None:
    shown = text([run("x" * 128, "succeeded", rows_accepted=10**11)], 80)

    assert shown.count("x") == 128
    assert "100,000,000,000" in shown
    assert "11-23 05:15" in shown


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize("rows", [None, 10**11])
def test_the_datasets_are_shown_however_long_the_rest_is(width: int, rows: int | None) -> None:
    first, line = text([run(rows_accepted=rows)], width).splitlines()[:2]

    assert first.rstrip().endswith(("datasets", "sets"))
    assert line.rstrip().endswith(("3", "comments, posts, users", "comments +2", "comments, posts +1"))


def test_nothing_is_cut_without_a_terminal() -> None:
    shown = text([run("x" * 128, datasets=tuple(f"dataset_{n}" for n in range(100)))], PIPED)

    assert "x" * 128 in shown
    assert "dataset_99" in shown


def test_names_are_shown_as_far_as_they_fit() -> None:
    names = ("comments", "posts", "users")

    assert fitting(names, 22) == "comments, posts, users"
    assert fitting(names, 21) == "comments, posts +1"
    assert fitting(names, 11) == "comments +2"
    assert fitting(names, 10) == "3"


def test_a_single_look_shows_how_fast_the_latest_results_came() -> None:
    began, latest = NOW - timedelta(seconds=50), NOW - timedelta(seconds=1)
    stage = StageProgress(
        "posts", "crawler", 10, None, 5, 0, 750, read_at=NOW, begun_at=began, last_at=latest
    )
    seen = snapshot(run(datasets=("posts",)), [stage], NOW)

    assert seen.elapsed_s == 75.0
    assert seen.estimates["posts", "crawler"].rows_per_s == pytest.approx(750 / 49)


def test_a_clock_that_is_behind_the_broker_breaks_nothing() -> None:
    stages = [StageProgress("posts", "crawler", 10, None, 5, 0, 750)]

    assert snapshot(run(), stages, ASKED - timedelta(seconds=5)).elapsed_s > 0


def test_times_for_programs_are_iso_in_utc() -> None:
    assert document(run(rows_accepted=None)) == {
        "run_id": "r-20261123T051530Z-1a2b3c4d",
        "status": "running",
        "reason": None,
        "requested_by": "me",
        "requested_at": "2026-11-23T05:15:30.000000Z",
        "started_at": "2026-11-23T05:15:30.000000Z",
        "finished_at": None,
        "datasets": ["comments", "posts", "users"],
        "replay_of": None,
        "superseded_by": None,
        "rows_accepted": None,
    }


def test_a_run_that_no_service_has_taken_up_is_listed_as_asked() -> None:
    assert "asked" in text([run(started_at=None)], 80).splitlines()[1]
    assert "running" in text([run()], 80)
