"""The batches of a run as few files, on object stores in memory."""

import csv
import hashlib
import io
import json
import random
from typing import Any

import pytest

from console.cli.combine import Combiner
from shared.datasets.model import Dataset
from shared.errors import PermanentError
from shared.events.models import Artifact
from shared.reasons import Reason
from shared.stages.results import Batches
from shared.storage.object_store import ObjectStore, open_memory
from tests.support.processed import a_dataset, put_processed

FOLDER = "exports/run-1/things/csv/combined"


def things(**exports: Any) -> Dataset:
    dataset = a_dataset({"id": "int64", "name": "string"}, key=["id"])
    document = dataset.model_dump(by_alias=True, exclude_unset=True)
    return Dataset.model_validate(document | {"exports": {"csv": {"compression": "none"}, **exports}})


async def put_batches(
    staging: ObjectStore, dataset: Dataset, sizes: list[int], seed: int = 0
) -> list[Artifact]:
    """Batches of these sizes, ids counted over all; stored in any order."""
    starts = [sum(sizes[:place]) for place in range(len(sizes))]
    order = list(enumerate(zip(starts, sizes, strict=True)))
    random.Random(seed).shuffle(order)  # noqa: S311 - any order will do
    artifacts: list[Artifact] = []
    for sequence, (start, size) in order:
        rows = [{"id": n, "name": f"name {n}"} for n in range(start, start + size)]
        manifest = await put_processed(staging, dataset, rows, sequence=sequence)
        await Batches(staging, "processor").commit(manifest)
        artifacts += manifest.artifacts
    return artifacts


async def files_of(lake: ObjectStore) -> dict[str, bytes]:
    found = [info.key async for info in lake.list("")]
    return {key: await lake.get(key) or b"" for key in found}


async def combined(
    sizes: list[int], seed: int = 0, lake: ObjectStore | None = None, **exports: Any
) -> tuple[dict[str, Any], dict[str, bytes]]:
    staging, lake, dataset = open_memory("staging"), lake or open_memory("lake"), things(**exports)
    await put_batches(staging, dataset, sizes, seed)
    [manifest] = await Combiner(staging, lake, "run-1", dataset).combine(["csv"])
    return manifest, await files_of(lake)


def ids_of(files: dict[str, bytes], manifest: dict[str, Any]) -> list[list[int]]:
    texts = [files[f"{FOLDER}/{file['name']}"].decode() for file in manifest["files"]]
    return [[int(row["id"]) for row in csv.DictReader(io.StringIO(text, newline=""))] for text in texts]


async def test_all_batches_become_one_file_with_a_manifest_beside_it() -> None:
    manifest, files = await combined([3, 0, 4, 2])
    assert ids_of(files, manifest) == [list(range(9))]
    assert (manifest["rows"], manifest["batches"]) == (9, 4)
    stored = json.loads(files[f"{FOLDER}/manifest.json"])
    assert manifest == stored | {"manifest": f"memory://lake/{FOLDER}/manifest.json"}
    for file in stored["files"]:
        data = files[f"{FOLDER}/{file['name']}"]
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file["bytes"], file["sha256"])
    assert len(files) == 2


async def test_the_order_of_arrival_does_not_matter_and_twice_is_once() -> None:
    lake = open_memory("lake")
    _, first = await combined([3, 1, 4, 1, 5], seed=1, lake=lake)
    _, again = await combined([3, 1, 4, 1, 5], seed=2, lake=lake)
    assert first == again


@pytest.mark.parametrize("most", [1, 4, 5, 9, 100])
async def test_files_have_at_most_so_many_rows(most: int) -> None:
    manifest, files = await combined([3, 4, 2], max_rows=most)
    found = ids_of(files, manifest)
    assert [n for part in found for n in part] == list(range(9))
    assert [len(part) for part in found] == [min(most, 9 - start) for start in range(0, 9, most)]


async def test_files_have_at_most_so_many_bytes() -> None:
    manifest, files = await combined([900, 1_100, 3_000], max_bytes=10_000)
    found = ids_of(files, manifest)
    assert [n for part in found for n in part] == list(range(5_000))
    assert all(file["bytes"] <= 10_000 for file in manifest["files"])
    assert len(found) < 2 * manifest["bytes"] / 10_000


async def test_files_of_other_options_are_gone_afterwards() -> None:
    lake = open_memory("lake")
    await combined([3, 4, 2], lake=lake, max_rows=2)
    manifest, files = await combined([3, 4, 2], lake=lake)
    assert len(files) == 2
    assert ids_of(files, manifest) == [list(range(9))]


async def test_without_rows_there_is_a_manifest_and_no_file() -> None:
    manifest, files = await combined([0, 0])
    assert (manifest["files"], list(files)) == ([], [f"{FOLDER}/manifest.json"])


async def test_a_batch_that_is_gone_is_refused() -> None:
    staging, lake, dataset = open_memory("staging"), open_memory("lake"), things()
    artifacts = await put_batches(staging, dataset, [3, 4])
    await staging.delete(staging.key(artifacts[0].uri, ""))
    with pytest.raises(PermanentError) as caught:
        await Combiner(staging, lake, "run-1", dataset).combine(["csv"])
    assert caught.value.reason == Reason.OBJECT_MISSING
    assert await files_of(lake) == {}
