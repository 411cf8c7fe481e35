from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from services.s3sink.domain import (
    LakeFile,
    LakeObject,
    Limits,
    Pending,
    object_name,
    pack_objects,
    stored,
    strip_for_storage,
)
from shared.events.models import Artifact, BatchManifest, Counts, MissingPage

LIMITS = Limits(target_bytes=64, most_bytes=128, age_s=60, target_rows=500_000)
MOMENT = datetime(2026, 11, 23, tzinfo=UTC)


def pending(*sizes: int, is_old: bool = False) -> list[Pending]:
    return [Pending(str(place), size, is_old and place == 0) for place, size in enumerate(sizes)]


def sizes(objects: list[list[Pending]]) -> list[list[int]]:
    return [[batch.clean_bytes for batch in batches] for batches in objects]


def cut_sizes(
    batches: list[Pending], *, ratio: float | None = 1.0, is_complete: bool = False
) -> list[list[int]]:
    return sizes(pack_objects(batches, LIMITS, ratio=ratio, is_complete=is_complete))


def test_batches_wait_until_they_fill_an_object() -> None:
    assert cut_sizes(pending(30, 33)) == []
    assert cut_sizes(pending(30, 33, 1)) == [[30, 33, 1]]


def test_an_object_is_closed_as_soon_as_it_is_full_and_the_rest_waits() -> None:
    assert cut_sizes(pending(40, 40, 40)) == [[40, 40]]


def test_the_rest_is_taken_when_the_run_is_complete() -> None:
    assert cut_sizes(pending(40, 40, 40), is_complete=True) == [[40, 40], [40]]


def test_the_rest_is_taken_when_its_oldest_has_waited_too_long() -> None:
    assert cut_sizes(pending(1, 1, is_old=True)) == [[1, 1]]


def test_an_object_of_many_small_rows_is_full_by_their_number() -> None:
    limits = replace(LIMITS, target_rows=100)
    batches = [Pending(str(place), 1, is_old=False, rows=60) for place in range(5)]
    assert [len(batches) for batches in pack_objects(batches, limits, ratio=1.0, is_complete=False)] == [2, 2]
    assert [len(batches) for batches in pack_objects(batches, limits, ratio=1.0, is_complete=True)] == [
        2,
        2,
        1,
    ]


def test_an_object_is_closed_early_rather_than_above_the_most() -> None:
    assert cut_sizes(pending(60, 100, 1)) == [[60], [100]]


def test_a_batch_above_the_most_is_an_object_of_its_own() -> None:
    assert cut_sizes(pending(10, 500, 10), is_complete=True) == [[10], [500], [10]]


def test_sizes_are_meant_in_the_lake_by_what_the_dataset_showed_before() -> None:
    assert cut_sizes(pending(64, 64), ratio=0.5) == [[64, 64]]
    assert cut_sizes(pending(64, 63), ratio=0.5) == []


def test_an_unknown_dataset_is_guessed_at_and_never_above_the_most_in_clean_bytes() -> None:
    assert cut_sizes(pending(64, 63, 1), ratio=None) == [[64, 63, 1]]
    assert cut_sizes(pending(100, 100), ratio=None) == [[100]]


def test_nothing_pending_makes_no_object() -> None:
    assert cut_sizes([], is_complete=True) == []


@given(
    st.lists(st.integers(0, 200), max_size=40),
    st.one_of(st.none(), st.floats(0.01, 3)),
    st.booleans(),
    st.booleans(),
)
def test_every_batch_is_in_one_object_at_most_in_order_and_what_waits_is_the_end(
    clean: list[int], ratio: float | None, is_complete: bool, is_old: bool
) -> None:
    batches = pending(*clean, is_old=is_old)
    objects = pack_objects(batches, LIMITS, ratio=ratio, is_complete=is_complete)
    taken = [batch for batches in objects for batch in batches]
    assert taken == batches[: len(taken)]
    assert all(objects)
    if is_complete or (is_old and batches):
        assert taken == batches


def test_an_object_is_named_by_what_is_in_it_in_order() -> None:
    name = object_name("run", "posts", ["a", "b"])
    assert name == object_name("run", "posts", ["a", "b"])
    assert len({name, object_name("run", "posts", ["b", "a"]), object_name("run", "posts", ["ab"])}) == 3


def a_batch(rows: int) -> BatchManifest:
    clean = Artifact(uri="s3://s/x", format="parquet", rows=rows, bytes=9, sha256="0" * 64)
    return BatchManifest(
        run_id="r",
        dataset="posts",
        batch_id="0" * 32,
        sequence=3,
        stage="processor",
        requested_at=MOMENT,
        artifacts=(clean, clean.model_copy(update={"format": "quarantine.jsonl.zst"})),
        counts=Counts(read=rows + 1, accepted=rows, rejected=1),
        missing=(MissingPage(url="http://x/\x00", reason="503"),),
        produced_at=MOMENT,
        code_version="x",
    )


def test_a_stored_batch_names_each_whole_file_that_has_rows_of_it_and_counts_its_own_rows() -> None:
    batch = a_batch(2)
    file = LakeFile("s3://lake/o", 10, 100, "1" * 64, frozenset({batch.batch_id}))
    others = LakeFile("s3://lake/p", 10, 100, "2" * 64, frozenset({"1" * 32}))
    lake = LakeObject((file, others), written_at=MOMENT)
    result = stored(strip_for_storage(batch, batch.artifacts[0]), lake, code_version="y")
    assert (result.stage, result.status, result.batch_id) == ("s3sink", "done", batch.batch_id)
    assert result.counts == Counts(read=2, accepted=2)
    [artifact] = result.artifacts
    assert (artifact.uri, artifact.rows, artifact.bytes, artifact.sha256) == (
        "s3://lake/o",
        10,
        100,
        "1" * 64,
    )


def test_a_batch_without_rows_is_stored_without_an_object() -> None:
    batch = a_batch(0)
    result = stored(strip_for_storage(batch, batch.artifacts[0]), None, code_version="y")
    assert (result.status, result.artifacts, result.counts) == ("done", (), Counts())


def test_what_is_stored_of_a_batch_has_no_text_of_a_source() -> None:
    batch = a_batch(2)
    assert "\\u0000" not in strip_for_storage(batch, batch.artifacts[0]).model_dump_json()
