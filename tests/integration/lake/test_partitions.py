"""Runs whose objects are in folders of the dataset's own partitions: each folder's files become one, over all hours."""

from datetime import timedelta

import pytest

from shared.datasets.lake import Lake as LakeOptions
from tests.support.lake import Lake
from tests.support.processed import REQUESTED_AT, a_dataset

pytestmark = pytest.mark.integration

COUNTRIES = ["de", None, "a/b ü"]
FOLDERS = {"de", "__HIVE_DEFAULT_PARTITION__", "a%2Fb%20%C3%BC"}
RUNS = 4


async def test_small_files_of_a_folder_become_one_whatever_the_hour_of_their_run(lake: Lake) -> None:
    dataset = a_dataset({"id": "int64", "country": "string"}, key=["id"], name="posts")
    options = LakeOptions(partition_by=("country",), codec="gzip")
    lake.use(dataset.model_copy(update={"lake": options}))
    for run in range(RUNS):
        rows = [{"id": run * 100 + n, "country": COUNTRIES[n % 3]} for n in range(30)]
        await lake.run(f"run-{run}", rows, requested_at=REQUESTED_AT + timedelta(hours=run))
    before = await lake.read_runs()
    assert (before.num_rows, len(await lake.objects())) == (RUNS * 30, RUNS * 3)

    report = await lake.compact()
    await lake.catch_up()

    assert report.problems == []
    assert [len(one["sources"]) for one in report.compactions] == [RUNS] * 3
    entries = (await lake.dataset_listing())["objects"]
    assert {entry["uri"].split("part_country=")[1].split("/")[0] for entry in entries} == FOLDERS
    assert {entry["partition"]["part_country"] for entry in entries} == {
        "de",
        "__HIVE_DEFAULT_PARTITION__",
        "a/b ü",
    }
    assert (
        (await lake.read_runs()).sort_by([("id", "ascending")]).equals(before.sort_by([("id", "ascending")]))
    )
    await lake.sweep(timedelta(hours=25))
    assert len(await lake.objects()) == 3
    assert (await lake.read_dataset()).num_rows == RUNS * 30
