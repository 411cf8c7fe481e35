"""A trace as people see it."""

from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from console.cli.trace_page import render
from console.client.trace.document import document
from console.client.trace.model import (
    Batch,
    Evidence,
    ExportFile,
    File,
    LakeFile,
    Origin,
    Refusal,
    Request,
    Row,
    Run,
    Searched,
    StageResult,
    Trace,
)

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
ORIGIN = Origin(NOON, "2026-11-29-daily", 41, "ab" * 16)
REQUEST = Request("https://shop.example/orders?_page=3", 200, "2026-11-29T12:00:01+00:00", '"v1"', None, None)
ROW = Row(
    "current",
    ORIGIN,
    NOON,
    (LakeFile("s3://lake/orders/a.parquet", 3, None),),
    (ExportFile("s3://lake/exports/a.csv", "csv", 100), ExportFile("s3://lake/exports/c.csv", "csv", 9, 4)),
    Batch(
        ORIGIN.batch_id,
        ORIGIN.run_id,
        2,
        (StageResult("crawler", "done", None), StageResult("loader", "dead", "type")),
        (File("processor", "s3://staging/p.parquet", "parquet", 100, 2_000, "c" * 64),),
    ),
    Run(ORIGIN.run_id, "succeeded", NOON, "airflow", None, None),
    Evidence(REQUEST, '{"id": 5}', "s3://staging/raw.jsonl.zst", 42, ORIGIN.run_id, "0.1.0"),
)


def shown(*rows: Row, more: int = 0, searched: Searched | None = None) -> str:
    console = Console(width=200, record=True, file=None, force_terminal=False)
    with console.capture() as captured:
        trace = Trace("orders", "public.onpoint_orders", "id=5", rows, more, searched or Searched(3, 0, 1, 0))
        console.print(render(trace))
    return captured.get()


def test_the_way_of_a_row_is_shown_from_the_table_to_the_request() -> None:
    text = shown(ROW)
    for part in (
        "orders id=5: 1 row",
        "current  in the table",
        "public.onpoint_orders, loaded 2026-11-29 12:00:00 UTC",
        "s3://lake/orders/a.parquet (row group 3)",
        "s3://lake/exports/c.csv (in one of 4 files)",
        "number 2: crawler done, loader dead (type)",
        "s3://staging/p.parquet (100 rows, 2.0 kB)",
        "GET https://shop.example/orders?_page=3",
        'status 200 at 2026-11-29T12:00:01+00:00, ETag "v1"',
        "s3://staging/raw.jsonl.zst, line 42",
        '{"id": 5}',
        "2026-11-29-daily, succeeded, requested 2026-11-29 12:00:00 UTC by airflow",
    ):
        assert part in text, part
    assert "not looked at" not in text


def test_a_refused_row_says_by_whom_and_why() -> None:
    refusal = Refusal("processor", "type", "id is no integer", "s3://staging/q.jsonl.zst")
    text = shown(Row("quarantined", ORIGIN, refusal=refusal))
    assert "by the processor: of a wrong type (type) (id is no integer)" in text


def test_what_a_source_sent_is_not_obeyed_by_the_terminal() -> None:
    evil = Evidence(Request("https://x/\x1b[2J", 200, None, "\x1b]0;x\x07", None, None), "\x1b[31m{}")
    assert "\x1b" not in shown(Row("superseded", ORIGIN, evidence=evil))


def test_what_is_gone_is_told() -> None:
    assert "swept" in shown(Row("current", ORIGIN, NOON, evidence=Evidence(gone="staging was swept")))


def test_what_was_not_looked_at_is_told() -> None:
    text = shown(ROW, more=2, searched=Searched(10, 5, 1, 1, ("s3://lake/x: gone",)))
    assert "and 2 older rows: --limit N shows more" in text
    assert "5 of 15 lake objects were not looked at: --all" in text
    assert "1 file with refused rows or more" in text
    assert "not readable: s3://lake/x: gone" in text


def test_programs_get_all_of_it() -> None:
    found: dict[str, Any] = document(Trace("orders", "public.onpoint_orders", "id=5", (ROW,)))
    [row] = found["rows"]
    assert (row["state"], row["table"], row["source_position"]) == ("current", "public.onpoint_orders", 41)
    assert row["request"]["etag"] == '"v1"'
    assert found["searched"]["is_complete"]
