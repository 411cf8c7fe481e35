"""What people and other programs get to see of the lake."""

from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from shared.datasets.arrow import clean_schema
from shared.lake.ddl import HOUR, LakeTable, statements
from shared.lake.repository import CompactionRepository, lake_files
from shared.lake.status import lake_status
from tests.support.lake import TARGET_BYTES, Lake
from tests.support.processed import REQUESTED_AT

pytestmark = pytest.mark.integration


async def test_duckdb_reads_what_counts_by_the_printed_statements(lake: Lake, tmp_path: Path) -> None:
    """From a copy of the bucket: its extension for S3 is not at hand everywhere."""
    await lake.many(3)
    await lake.run("later", [{"id": 900, "title": "x"}], requested_at=REQUESTED_AT + timedelta(hours=1))
    before = (await lake.read_runs()).num_rows
    await lake.compact()
    await lake.catch_up()
    async for info in lake.lake.list(""):
        file = tmp_path / info.key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(await lake.lake.get(info.key) or b"")
    table = LakeTable("posts", str(tmp_path), clean_schema(lake.dataset), HOUR, (), (), ())
    with duckdb.connect() as connection:
        connection.execute(statements(table, "duckdb"))
        rows = connection.execute("SELECT count(*), count(DISTINCT id) FROM posts").fetchall()
        hours = connection.execute("SELECT hour, count(*) FROM posts GROUP BY ALL ORDER BY 1").fetchall()
    assert rows == [(before, before)]
    assert [count for _, count in hours] == [30, 1]


async def test_the_state_tells_what_a_compaction_would_win(lake: Lake) -> None:
    await lake.many(4)
    repository = CompactionRepository(lake.pool)

    async def state() -> tuple[int, int, int]:
        files = lake_files(lake.lake, "posts", await repository.current("posts"))
        found = lake_status("posts", files, TARGET_BYTES, ratio=await repository.ratio("posts"))
        return found.objects, found.score, found.objects_to_win

    assert await state() == (4, 25, 3)
    await lake.compact()
    assert await state() == (1, 100, 0)
    ratio = await repository.ratio("posts")
    assert ratio is not None
    assert 0 < ratio < 1
    assert (await repository.waiting("posts", 24))[0] == 4
