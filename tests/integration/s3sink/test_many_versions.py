"""Batches of several versions of a dataset's columns, mixed: an object takes them all, so there are no more objects."""

import dataclasses

import pytest

from shared.datasets.column import Column
from shared.datasets.model import Dataset
from shared.datasets.versions import FILE, ColumnsVersion, columns_at
from shared.events.ids import batch_id
from tests.support.processed import REQUESTED_AT, a_dataset, put_processed
from tests.support.sink import LIMITS, Sink

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

PLAIN = a_dataset({"id": "int64"}, key=["id"], name="posts")
POSTS = Dataset.model_validate(
    {
        **PLAIN.model_dump(mode="json", by_alias=True, exclude_defaults=True),
        "schema": {"new_columns": "evolve"},
    }
)
NAMES = ("title", "score")
VERSIONS = 1 + len(NAMES)


def versions() -> list[ColumnsVersion]:
    """Each adds a column."""
    added = [Column(name=name, type="string") for name in NAMES]
    return [
        ColumnsVersion(
            version=FILE + count,
            dataset="posts",
            added=tuple(added[:count]),
            run_id="run-1",
            batch_id=batch_id("run-1", "posts", count),
            made_at=REQUESTED_AT,
        )
        for count in range(1, VERSIONS)
    ]


@pytest.mark.parametrize("objects", [12, pytest.param(1_200, marks=pytest.mark.long)])
async def test_mixed_versions_are_as_many_objects_as_one_version(objects: int, sink: Sink) -> None:
    """1,200 objects are a day of one each 72 s. A writer that begins a file at each version would make 3,600."""
    sink.dataset = POSTS
    sink.rebuild(limits=dataclasses.replace(LIMITS, target_rows=VERSIONS))
    shapes = [POSTS]
    for version in versions():
        assert await sink.writer._datasets.chain.append(version)  # noqa: SLF001 - as the processor does
        shapes.append(columns_at(POSTS, version))
    for sequence in range(objects * VERSIONS):
        extra = sequence % VERSIONS
        row = {"id": sequence, **{name: f"{name} {sequence}" for name in NAMES[:extra]}}
        batch = await put_processed(
            sink.staging, shapes[extra], [row], sequence=sequence, first_position=sequence
        )
        await sink.deliver(batch.model_copy(update={"columns_version": FILE + extra}))
    await sink.seal(objects * VERSIONS)
    await sink.drain()

    found = await sink.objects()
    assert len(found) == objects
    assert len(sink.results()) == objects * VERSIONS
    rows = {row["id"]: row for table in found.values() for row in table.to_pylist()}
    assert sum(table.num_rows for table in found.values()) == len(rows) == objects * VERSIONS
    for sequence in range(objects * VERSIONS):
        has = sequence % VERSIONS
        assert [rows[sequence][name] for name in NAMES] == [
            f"{name} {sequence}" if place < has else None for place, name in enumerate(NAMES)
        ]
