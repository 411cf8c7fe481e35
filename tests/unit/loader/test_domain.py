from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loader.domain import Merge, counts_of, result_of
from shared.events.models import BatchManifest, Counts


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
def test_the_books_of_a_load_balance(rows: int, data: st.DataObject) -> None:
    written = data.draw(st.integers(0, rows))
    counts = counts_of(rows, Merge(written, data.draw(st.integers(0, written))))
    assert counts.loaded + counts.superseded == counts.read == rows
    assert counts.loaded >= 0


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
    result = result_of(batch, Counts(read=2, loaded=2), {"title": 1}, produced_at=moment, code_version="y")
    assert (result.run_id, result.dataset, result.batch_id, result.sequence) == ("r", "posts", "0" * 32, 3)
    assert (result.stage, result.status, result.first_position) == ("loader", "done", 17)
    assert result.nulls == {"title": 1}
    assert (result.parent_batch_ids, result.artifacts) == ((batch.batch_id,), ())
