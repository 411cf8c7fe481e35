from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from console.cli.summary import Places, render
from shared.events.models import CheckResult, DatasetSummary, DeadBatch, MissingRecords, RunCompleted

ASKED = datetime(2026, 11, 23, 5, 15, 30, tzinfo=UTC)
PLACES = Places(psql="psql", lake_bucket="onpoint-lake", table_of="onpoint_{}".format)
BATCH = "0123456789abcdef0123456789abcdef"


def completed(**changes: Any) -> RunCompleted:
    values: dict[str, Any] = {
        "run_id": "2026-11-23-daily",
        "status": "succeeded",
        "reason": None,
        "requested_at": ASKED,
        "started_at": ASKED,
        "finished_at": ASKED + timedelta(seconds=185),
        "datasets": {"posts": posts()},
        "checks": (check(), check(name="unique")),
    }
    return RunCompleted(**(values | changes))


def posts(**changes: Any) -> DatasetSummary:
    values: dict[str, Any] = {
        "batches": 3,
        "rows_crawled": 2_500_000,
        "rows_accepted": 2_499_990,
        "rows_rejected": 10,
        "rows_loaded": 2_499_990,
        "rows_stored": 2_499_990,
        "objects_stored": 3,
        "bytes_stored": 312_345_678,
        "exports": {"parquet": 50, "csv": 50},
    }
    return DatasetSummary(**(values | changes))


def check(**changes: Any) -> CheckResult:
    values: dict[str, Any] = {
        "dataset": "posts",
        "name": "row_count",
        "severity": "error",
        "passed": True,
        "value": 100,
        "expected": {"min": 1},
    }
    return CheckResult(**(values | changes))


def text(run: RunCompleted, *, width: int = 120, places: Places = PLACES, **options: Any) -> str:
    console = Console(width=width, highlight=False, **options)
    with console.capture() as capture:
        console.print(render(run, places), crop=False)
    return capture.get()


@pytest.mark.parametrize("width", [80, 120])
def test_everything_that_matters_of_a_run_is_shown(width: int) -> None:
    shown = text(completed(), width=width)

    for piece in (
        "2026-11-23-daily  succeeded",
        "asked 2026-11-23 05:15:30 UTC, took 3 min 05 s",
        "2,500,000",
        "2,499,990",
        "312.3 MB",
        "50 csv, 50 parquet",
        "2 passed",
    ):
        assert piece in shown


@pytest.mark.parametrize(
    ("stage", "shown"), [("loader", "loaded"), ("s3sink", "stored"), ("converter", None)]
)
def test_a_replay_shows_no_figures_of_a_stage_that_it_does_not_have(stage: str, shown: str | None) -> None:
    summary = posts(rows_loaded=0, rows_stored=0, objects_stored=0, bytes_stored=0, exports={})
    told = text(completed(from_stage=stage, datasets={"posts": summary}, checks=()))
    assert [name for name in ("loaded", "stored") if name in told] == ([shown] if shown else [])


@pytest.mark.parametrize("width", [80, 120])
def test_a_hundred_million_rows_fit_the_screen(width: int) -> None:
    big = posts(rows_crawled=10**8, rows_accepted=10**8, rows_loaded=10**8, rows_stored=10**8)
    shown = text(completed(datasets={"posts": big, "users": posts()}), width=width)
    tables = shown.split("where to look")[0].splitlines()

    assert max(map(len, tables)) <= width
    assert shown.count("100,000,000") == 4


def test_a_number_that_does_not_fit_the_screen_is_not_cut() -> None:
    assert "…" not in text(
        completed(datasets={"posts": posts(rows_crawled=10**15, rows_accepted=10**15)}), width=60
    )


def test_the_narrow_screen_has_two_tables_and_the_wide_one_a_single_one() -> None:
    assert sum(line.startswith("dataset") for line in text(completed(), width=80).splitlines()) == 2
    assert sum(line.startswith("dataset") for line in text(completed(), width=120).splitlines()) == 1


def test_columns_that_are_zero_as_they_should_be_take_no_room() -> None:
    assert "superseded" not in text(completed())
    assert "superseded" in text(completed(datasets={"posts": posts(rows_superseded=4)}))


def test_several_datasets_are_added_up() -> None:
    shown = text(completed(datasets={"posts": posts(), "users": posts(rows_crawled=10)}))

    assert "2,500,010" in shown


def test_what_went_wrong_is_listed_with_its_reason() -> None:
    run = completed(
        status="failed",
        reason="posts: check row_count failed",
        checks=(
            check(passed=False, value=0),
            check(name="not_null(title)", severity="warn", passed=False, value=3, expected={"max": 0}),
            check(name="unique(ok)", severity="warn", passed=False, value=34, expected={"max": 0}),
            check(name="not_null(body)", severity="warn", passed=False, value=1, expected={"max": 0}),
            check(name="not_null(user)", severity="warn", passed=False, value=9, expected={"max": 5}),
            check(name="unique(id,day)", severity="warn", passed=False, value="away", expected={"max": 0}),
        ),
        dead=(DeadBatch(dataset="posts", batch_id=BATCH, stage="loader", reason="schema"),),
        missing=(
            MissingRecords(
                dataset="posts", url="https://example.org/posts?_page=7", reason="503 after 5 tries"
            ),
        ),
    )
    shown = text(run, width=80)

    assert "posts: check row_count failed" in shown
    assert "error  posts: row_count: 0 rows, expected at least 1" in shown
    assert "warn   posts: not_null(title): 3 rows have no title\n" in shown
    assert "warn   posts: unique(ok): 34 rows agree with another in ok\n" in shown
    assert "warn   posts: not_null(body): 1 row has no body\n" in shown
    assert "warn   posts: not_null(user): 9 rows have no user, expected at most 5\n" in shown
    assert "warn   posts: unique(id,day): could not run: away\n" in shown
    assert "6 of 6 failed" in shown
    assert "1 batch failed\n  dataset  stage   reason  batches\n  posts    loader  schema  1\n" in shown
    assert f"onpoint dlq list --run {run.run_id} shows why" in shown
    assert "posts  503 after 5 tries  https://example.org/posts?_page=7" in shown


def test_a_batch_that_was_not_fetched_is_not_listed_beside_its_missing_pages() -> None:
    dead = [
        DeadBatch(dataset=name, batch_id=f"{n:032x}", stage="crawler", reason="fetch")
        for n, name in enumerate(("e500", "e500", "other"))
    ]
    page = MissingRecords(dataset="e500", url="https://example.org/e500", reason="500 after 5 tries")
    shown = text(completed(status="failed", dead=tuple(dead), missing=(page,)))

    assert "3 batches failed" in shown
    assert "e500     crawler" not in shown
    assert "  other    crawler  fetch   1\n" in shown
    assert "e500  500 after 5 tries" in shown


def test_no_text_of_a_run_controls_the_terminal() -> None:
    """A source names its own next pages, and every producer of the topic can write the rest."""
    hostile = "\x1b]0;pwned\x07\x9b31m\u202e"
    run = completed(
        reason=hostile,
        checks=(check(passed=False, name=hostile, value=hostile, expected={hostile: hostile}),),
        dead=(DeadBatch(dataset="posts", batch_id=BATCH, stage="loader", reason=hostile),),
        missing=(MissingRecords(dataset="posts", url=hostile, reason=hostile),),
    )
    shown = text(run)

    assert not set(shown) & set("\x1b\x07\x9b\u202e")
    assert shown.count("\\x1b]0;pwned\\x07") == 6


def test_a_long_list_is_cut_with_a_note() -> None:
    warnings = tuple(f"warning {n}" for n in range(1_010))

    assert "and 1,000 more: --json lists them all" in text(completed(status="partial", warnings=warnings))


def test_where_to_look_names_real_places_and_its_lines_are_never_broken() -> None:
    shown = text(completed(run_id="x" * 128), width=80).splitlines()

    assert "  rows     psql -c 'SELECT * FROM onpoint_posts LIMIT 5'" in shown
    assert "  lake     s3://onpoint-lake/posts/year=2026/month=11/day=23/hour=05/" in shown
    assert f"  exports  s3://onpoint-lake/exports/{'x' * 128}/posts/" in shown
    assert f"  listing  s3://onpoint-lake/_runs/{'x' * 128}.json" in shown
    assert f"  again    onpoint status {'x' * 128}" in shown


def test_places_are_named_only_where_something_is() -> None:
    shown = text(completed(status="failed", datasets={"posts": DatasetSummary()}))

    assert "rows  " not in shown
    assert "hour=" not in shown
    assert "exports/" not in shown


def test_a_refused_run_has_no_tables_but_its_reason() -> None:
    shown = text(completed(status="failed", reason="unknown dataset: pots", datasets={}, checks=()))

    assert "unknown dataset: pots" in shown
    assert "accepted" not in shown


def test_without_a_known_bucket_the_lake_is_left_out() -> None:
    assert "s3://" not in text(completed(), places=Places("psql", None, str))


def test_markup_in_what_comes_from_outside_is_shown_as_it_is() -> None:
    assert "[red]not markup[/]" in text(completed(status="failed", reason="[red]not markup[/]"))


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    run = completed(status="partial", checks=(check(passed=False),))

    monkeypatch.delenv("NO_COLOR")
    coloured = text(run, force_terminal=True, color_system="standard")
    monkeypatch.setenv("NO_COLOR", "1")
    plain = text(run, force_terminal=True, color_system="standard")

    assert "\x1b[3" in coloured
    assert "\x1b[3" not in plain


def test_the_cause_is_the_first_line_after_the_name_of_the_run() -> None:
    lines = text(
        completed(status="failed", reason="posts: 1 page is missing: 503 after 5 tries")
    ).splitlines()

    assert lines[0].startswith("2026-11-23-daily  failed")
    assert lines[1] == "posts: 1 page is missing: 503 after 5 tries"
    assert lines[2].startswith("asked ")


def test_why_rows_were_rejected_is_told_most_first_with_the_command_that_shows_them() -> None:
    shown = text(
        completed(
            datasets={
                "posts": posts(rows_rejected=1_203, rejected_by_reason={"fetch": 3, "type": 1_200}),
                "users": posts(rows_rejected=0),
                "old": posts(rows_rejected=7),
            }
        )
    )

    assert "rejected rows" in shown
    assert "  posts  1,200 of a wrong type (type), 3 not fetched (fetch)\n" in shown
    assert "  old    7 rows\n" in shown
    assert "onpoint quarantine 2026-11-23-daily shows them" in shown
    assert shown.count("users") == 1


def test_rejected_rows_are_not_mentioned_where_there_are_none() -> None:
    shown = text(completed(datasets={"posts": posts(rows_rejected=0)}))

    assert "quarantine" not in shown
    assert "warnings" not in shown


def test_what_the_source_promised_is_shown_where_another_number_came() -> None:
    met = posts(rows_promised=2_500_000)
    assert "promised" not in text(completed(datasets={"posts": met, "users": posts(rows_promised=None)}))

    shown = text(
        completed(datasets={"posts": met, "users": posts(rows_promised=30), "todos": posts()}), width=160
    )
    heading, *rows = (
        line for line in shown.splitlines() if line.startswith(("dataset", "posts", "users", "todos"))
    )
    end = heading.index("promised") + len("promised")
    assert [row[:end].split()[-1] for row in rows[:3]] == ["2,500,000", "30", "-"]


def test_nothing_came_of_what_was_promised() -> None:
    nothing = DatasetSummary(batches=0, rows_promised=30)
    shown = text(
        completed(status="partial", reason="posts: 0 of 30 promised rows came", datasets={"posts": nothing})
    )

    assert "promised" in shown
    assert " 30 " in shown


def test_warnings_are_shown_as_sentences_and_obeyed_by_no_terminal() -> None:
    warnings = ("posts: column titel is empty in every row; did you mean title?", "\x1b[31mred", "x " * 200)
    shown = text(completed(warnings=warnings), width=80)

    assert "did you mean title?" in shown
    assert "\\x1b[31mred" in shown
    assert "\x1b[31mred" not in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_of_many_datasets_and_warnings_some_are_shown() -> None:
    shown = text(
        completed(
            datasets={f"d{n:03}": posts(rejected_by_reason={"type": 10}) for n in range(100)},
            warnings=tuple(f"warning {n}" for n in range(50)),
        )
    )

    assert "and 90 more datasets" in shown
    assert "and 40 more: --json lists them all" in shown
