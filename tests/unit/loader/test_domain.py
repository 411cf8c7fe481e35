import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loader.domain import (
    MAX_RAW_BYTES,
    Merge,
    RefusedRow,
    counts_of,
    lack_of,
    quarantine_line,
    result_of,
)
from shared.events.models import BatchManifest, Counts
from shared.reasons import Reason
from tests.support.processed import a_dataset


@pytest.mark.parametrize(
    ("rows", "written", "same_run", "expected"),
    [
        (0, 0, 0, Counts()),
        (3, 3, 0, Counts(read=3, loaded=3)),  # into an empty table, or over an older run
        (3, 0, 0, Counts(read=3, superseded=3)),  # a newer run is there
        (
            3,
            3,
            3,
            Counts(read=3, superseded=3),
        ),  # each replaces a row of its own run, which was counted as loaded
        (5, 4, 1, Counts(read=5, loaded=3, superseded=2)),
    ],
)
def test_a_row_is_loaded_or_superseded(rows: int, written: int, same_run: int, expected: Counts) -> None:
    assert counts_of(rows, Merge(written, same_run)) == expected


@given(st.integers(0, 10**9), st.data())
def test_the_row_counts_of_a_load_add_up(rows: int, data: st.DataObject) -> None:
    rejected = data.draw(st.integers(0, rows))
    written = data.draw(st.integers(0, rows - rejected))
    merge = Merge(
        written, data.draw(st.integers(0, written)), data.draw(st.integers(0, rows - rejected - written))
    )
    counts = counts_of(rows, merge, rejected)
    assert counts.loaded + counts.superseded + counts.rejected == counts.read == rows
    assert counts.loaded >= 0
    assert merge.repeated <= counts.superseded


def test_the_parts_of_a_merge_add_up() -> None:
    assert Merge(5, 2, 1) + Merge(3, 1, 0) == Merge(8, 3, 1)


def test_a_result_keeps_the_identity_of_its_batch_and_none_of_its_artifacts() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    batch = BatchManifest(
        run_id="r",
        dataset="posts",
        batch_id="0" * 32,
        sequence=3,
        stage="processor",
        requested_at=moment,
        first_position=17,
        counts=Counts(read=2, accepted=2),
        produced_at=moment,
        code_version="x",
    )
    result = result_of(
        batch,
        Counts(read=2, loaded=2),
        {"title": 1},
        produced_at=moment,
        code_version="y",
    )
    assert (result.run_id, result.dataset, result.batch_id, result.sequence) == ("r", "posts", "0" * 32, 3)
    assert (result.stage, result.status, result.first_position) == ("loader", "done", 17)
    assert result.nulls == {"title": 1}
    assert (result.parent_batch_ids, result.artifacts) == ((batch.batch_id,), ())


def test_a_quarantine_line_is_as_the_processors() -> None:
    row = RefusedRow(
        17, Reason.RANGE, "PostgreSQL: too large", {"id": 1, "at": datetime(2026, 1, 1, tzinfo=UTC)}
    )
    line = json.loads(quarantine_line(row))
    assert line == {
        "source_position": 17,
        "reason": "range",
        "detail": "PostgreSQL: too large",
        "url": None,
        "raw": '{"id":1,"at":"2026-01-01T00:00:00+00:00"}',
    }


def test_of_a_long_row_the_beginning_is_stored_as_text() -> None:
    row = RefusedRow(0, Reason.TOO_LARGE, "long", {"id": 1, "text": "é" * 2**20})
    line = json.loads(quarantine_line(row))
    assert len(line["raw"].encode()) in {MAX_RAW_BYTES - 1, MAX_RAW_BYTES}
    assert line["detail"] == f"long; raw is the first {MAX_RAW_BYTES} of {2**21 + 18} bytes"


@pytest.mark.parametrize(
    ("columns", "lack"),
    [
        ([], "there is no table onpoint_things"),
        (["id"], "table onpoint_things has no columns size, colour"),
        (["id", "colour", "other"], "table onpoint_things has no column size"),
        (["id", "size", "colour"], None),
    ],
)
def test_what_a_table_lacks_is_named(columns: list[str], lack: str | None) -> None:
    dataset = a_dataset({"id": "int64", "size": "int64", "colour": "string"}, key=["id"])
    assert lack_of(dataset, columns) == lack
