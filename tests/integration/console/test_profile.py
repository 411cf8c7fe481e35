"""`onpoint datasets profile` on the real object store, by itself and on a Dask cluster."""

import io
import json
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from console.cli.profile import document
from console.profile.cluster import profile_on_cluster
from console.profile.lake import profile
from shared.dask.errors import ClusterAwayError
from shared.settings.dask import DaskSettings
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.storage.object_store import ObjectStore, open_s3
from tests.support.dask_cluster import DaskCluster

pytestmark = pytest.mark.integration

ROWS = 20_000


@pytest.fixture
def lake(s3_environment: dict[str, str]) -> ObjectStore:
    settings = load_settings(ObjectStoreSettings, s3_environment)
    return open_s3(settings, settings.lake_bucket)


async def put_run(lake: ObjectStore, dataset: str, objects: int) -> str:
    """Its id."""
    run_id, uris = f"run-{uuid.uuid4().hex[:8]}", []
    for number in range(objects):
        data = io.BytesIO()
        values = range(number * ROWS, (number + 1) * ROWS)
        pq.write_table(pa.table({"n": list(values), "t": [f"text {n % 100}" for n in values]}), data)
        key = f"{dataset}/year=2026/{run_id}-{number}.parquet"
        await lake.put(key, data.getvalue())
        uris.append({"uri": lake.uri(key)})
    await lake.put(f"_runs/{run_id}.json", json.dumps({"datasets": {dataset: {"objects": uris}}}).encode())
    return run_id


async def test_a_cluster_gives_the_same_figures_as_the_command_itself(
    lake: ObjectStore, s3_environment: dict[str, str], tmp_path: Path
) -> None:
    run_id = await put_run(lake, "profiled", 7)
    with DaskCluster(tmp_path, s3_environment) as dask:
        await dask.ready()
        settings = load_settings(DaskSettings, dask.settings)
        there = document(await profile_on_cluster(settings, lake, "profiled", run_id))
    here = document(await profile(lake, "profiled", run_id))
    assert there == here
    assert (here["rows"], here["objects"]) == (7 * ROWS, 7)
    by_name = {column["name"]: column for column in here["columns"]}
    assert (by_name["n"]["min"], by_name["n"]["max"], by_name["t"]["distinct"]) == (0, 7 * ROWS - 1, 100)
    with pytest.raises(ClusterAwayError):
        await profile_on_cluster(settings, lake, "profiled", run_id)
