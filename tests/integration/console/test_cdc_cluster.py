"""`onpoint cdc verify` with its objects read by a Dask cluster, on the real object store."""

import hashlib
import io
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from console.client.cdc.proof.cluster import digest_on_cluster
from console.client.cdc.proof.columns import SourceColumn
from console.client.cdc.proof.digests import agree
from console.client.cdc.state import StoredObject
from shared.dask.errors import ClusterAwayError
from shared.errors import TransientError
from shared.settings.dask import DaskSettings
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.storage.object_store import ObjectStore, open_s3
from tests.support.dask_cluster import DaskCluster

pytestmark = pytest.mark.integration

OBJECTS, ROWS = 5, 10_000
COLUMNS = [SourceColumn("id", "bigint", True), SourceColumn("v", "text", False)]


async def put(lake: ObjectStore, number: int) -> StoredObject:
    """Inserts, and in every object after the first one updates of the row before."""
    first, data = number * ROWS, io.BytesIO()
    keys = [*range(first, first + ROWS - 1), max(0, first - 1)]
    table: dict[str, Any] = {
        "Op": ["I"] * (ROWS - 1) + ["U"],
        "_lsn": [1] * ROWS,
        "_offset": list(range(first, first + ROWS)),
        "id": keys,
        "v": [f"of {number}"] * ROWS,
        "_unchanged": pa.array([None] * ROWS, pa.list_(pa.string())),
    }
    pq.write_table(pa.table(table), data)
    key, body = f"cdc/{uuid.uuid4().hex}/{number}.parquet", data.getvalue()
    await lake.put(key, body)
    return StoredObject(first, first + ROWS - 1, key, ROWS, len(body), hashlib.sha256(body).hexdigest())


async def test_a_cluster_gives_what_counts_and_a_bad_object_is_told(
    s3_environment: dict[str, str], tmp_path: Path
) -> None:
    settings = load_settings(ObjectStoreSettings, s3_environment)
    lake = open_s3(settings, settings.lake_bucket)
    stored = [await put(lake, number) for number in range(OBJECTS)]
    rows: dict[int, int] = {}
    for number in range(OBJECTS):
        first = number * ROWS
        rows |= dict.fromkeys(range(first, first + ROWS - 1), number) | {max(0, first - 1): number}
    file = tmp_path / "rows.csv"
    file.write_text("".join(f"{key},of {number}\n" for key, number in rows.items()))
    with DaskCluster(tmp_path, s3_environment) as dask:
        await dask.ready()
        cluster = load_settings(DaskSettings, dask.settings)
        found = await digest_on_cluster(cluster, stored, COLUMNS, 10)
        assert agree(found, file, COLUMNS, tmp_path) == len(rows)
        await lake.put(stored[2].key, b"other bytes")
        with pytest.raises(TransientError):
            await digest_on_cluster(cluster, stored, COLUMNS, 10)
    with pytest.raises(ClusterAwayError):
        await digest_on_cluster(cluster, stored, COLUMNS, 10)
