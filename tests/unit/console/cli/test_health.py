"""What `onpoint health` shows."""

import json
from datetime import UTC, datetime

import pytest
import typer

from console.cli.health import health, show
from shared.health.model import Reading, check_of, report_of

AT = datetime(2026, 11, 29, 8, 0, tzinfo=UTC)


def test_values_of_one_thing_are_in_one_line_with_their_limits(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    readings = [
        Reading(item="loader p50", status="HEALTHY", value=0.25, unit="seconds", since=AT),
        Reading(item="loader p95", status="WARNING", value=700, limit=600, unit="seconds", since=AT),
        Reading(item="loader queue", status="HEALTHY", value=1200, unit="batches", since=AT),
        Reading(item="rows", status="HEALTHY", value=5, unit="rows in the last hour", since=AT),
    ]
    report = report_of([check_of("latency", readings).model_copy(update={"since": AT})], AT)
    show(report)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[1].split(maxsplit=2) == ["latency", "WARNING", "2026-11-29 08:00:00 UTC"]
    assert " ".join(lines[2].split()) == (
        "loader WARNING 2026-11-29 08:00:00 UTC p50 0.25 seconds; p95 700 seconds, limit 600 seconds; queue 1,200 batches"
    )
    assert " ".join(lines[3].split()) == "rows HEALTHY 5 rows in the last hour"
    assert lines[-1] == "the pipeline is WARNING"


def test_shares_and_bytes_are_shown_as_people_read_them(capsys: pytest.CaptureFixture[str]) -> None:
    readings = [
        Reading(item="size", status="HEALTHY", value=14_900_000, unit="bytes"),
        Reading(item="crawler memory", status="HEALTHY", value=0.123, limit=0.9, unit="ratio"),
        Reading(item="slot", status="FAILED", value=None, note="changes are lost\x1b[2J"),
    ]
    show(report_of([check_of("resources", readings)], AT))
    out = capsys.readouterr().out
    assert "14.9 MB" in out
    assert "memory 12.3 %, limit 90.0 %" in out
    assert "changes are lost\\x1b[2J" in out


def test_a_database_that_is_away_is_told_and_not_raised(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONPOINT_POSTGRES_DSN", "postgresql://a:b@127.0.0.1:1/c")
    monkeypatch.setenv("ONPOINT_HEALTH_SERVICES", "loader=http://127.0.0.1:1")
    with pytest.raises(typer.Exit) as ended:
        health(as_json=True)
    report = json.loads(capsys.readouterr().out)
    assert ended.value.exit_code == 1
    assert report["status"] == "FAILED"
    found = {check["name"]: check["readings"][0] for check in report["checks"]}
    assert found["database"]["status"] == "FAILED"
    assert found["resources"]["note"] == "it does not answer: ClientConnectorError"
