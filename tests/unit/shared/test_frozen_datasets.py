"""What a run was frozen with counts for it, whatever the files contain later."""

import asyncio

import pytest

from shared.datasets.catalog import load_catalog
from shared.datasets.frozen import DATASETS_CACHED, RunDatasets, dump
from shared.datasets.model import Dataset
from shared.errors import PermanentError
from shared.reasons import Reason
from shared.storage import keys
from shared.storage.object_store import ObjectStore, open_memory
from tests.support.crawled import a_dataset

OLD = a_dataset([{"name": "id", "type": "int64"}], key=["id"])
NEW = a_dataset(
    [{"name": "id", "type": "int64"}, {"name": "label", "from": r"a\.b", "type": "string"}], key=["id"]
)


@pytest.fixture
def staging() -> ObjectStore:
    return open_memory("staging")


def reader(staging: ObjectStore, **today: Dataset) -> RunDatasets:
    return RunDatasets(staging, lambda: today)


async def test_the_first_file_of_a_run_counts(staging: ObjectStore) -> None:
    assert await reader(staging).put_if_absent("r", OLD) == OLD
    assert await reader(staging).put_if_absent("r", NEW) == OLD
    assert await reader(staging, things=NEW).get("r", "things") == OLD
    assert await reader(staging).put_if_absent("other", NEW) == NEW


async def test_of_many_writers_one_wins_and_all_have_the_same(staging: ObjectStore) -> None:
    found = await asyncio.gather(*(reader(staging).put_if_absent("r", each) for each in (OLD, NEW) * 8))
    assert len({id(each) if each is None else each for each in found}) == 1


@pytest.mark.parametrize("name", list(load_catalog(environment={})))
async def test_the_dataset_of_a_file_comes_back_as_it_was(staging: ObjectStore, name: str) -> None:
    dataset = load_catalog(environment={})[name]
    await reader(staging).put_if_absent("r", dataset)
    assert await reader(staging).find("r", name) == dataset


def test_fields_that_a_file_leaves_away_are_left_away() -> None:
    """Else a version that knows fewer of them could not read it."""
    assert b"max_missing_ratio" not in dump(OLD)
    assert b'"from":"a\\\\.b"' in dump(NEW)


async def test_a_run_of_an_older_version_goes_by_today_s_file(staging: ObjectStore) -> None:
    datasets = reader(staging, things=NEW)
    assert await datasets.find("r", "things") is None
    assert await datasets.get("r", "things") == NEW
    await reader(staging).put_if_absent("r", OLD)
    assert await datasets.get("r", "things") == OLD


async def test_an_unknown_dataset_is_refused(staging: ObjectStore) -> None:
    with pytest.raises(PermanentError, match="no dataset is named things") as caught:
        await reader(staging).get("r", "things")
    assert caught.value.reason is Reason.SCHEMA


@pytest.mark.parametrize(
    "value", [b"", b"{}", b"[]", b"\xff", dump(a_dataset([{"name": "id", "type": "int64"}], ["id"], "other"))]
)
async def test_an_object_of_another_writer_is_refused(staging: ObjectStore, value: bytes) -> None:
    await staging.put(keys.dataset_key("r", "things"), value)
    with pytest.raises(PermanentError, match=r"runs/r/things/dataset\.json"):
        await reader(staging, things=NEW).get("r", "things")
    assert await reader(staging, other=NEW).find_all("r", ["things"]) == {}


async def test_memory_is_bounded_and_a_known_one_is_read_once(
    staging: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = reader(staging)
    for number in range(DATASETS_CACHED + 10):
        await datasets.put_if_absent(f"r{number}", OLD)
    assert len(datasets._known) == DATASETS_CACHED  # noqa: SLF001 - a bound that no caller sees

    async def never(key: str) -> bytes:
        raise AssertionError(key)

    monkeypatch.setattr(staging, "get", never)
    assert await datasets.get(f"r{DATASETS_CACHED + 9}", "things") == OLD
