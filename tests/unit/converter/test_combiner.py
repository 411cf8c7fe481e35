"""The batches of a run as few files, on object stores in memory."""

import asyncio
import contextlib
import csv
import hashlib
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.converter.formats.combined import Combination, CombinedFile, Place
from services.converter.service.combiner import Combiner, Patience, manifest_of
from shared import crashpoints
from shared.datasets.arrow import clean_schema
from shared.datasets.model import Dataset
from shared.errors import PermanentError, TransientError
from shared.events.decode import encode
from shared.events.models import MAX_COMBINED_FILES, Artifact, BatchManifest, ExportsCombined
from shared.events.names import SUPPORTED_FORMATS, Format
from shared.reasons import Reason
from shared.stages.failures import dead_manifest
from shared.stages.results import Batches
from shared.stages.scratch import scratch_folder
from shared.storage import keys
from shared.storage.object_store import ObjectStore, open_memory
from tests.support.datasets import datasets_of
from tests.support.processed import PRODUCED_AT, a_dataset, put_file, put_processed

FOLDER = "exports/run-1/things/csv/combined"

IMPATIENT = Patience(step_s=0.0, file_s=60.0)
"""A call writes one file."""


class KilledError(BaseException):
    """Stands for `kill -9`: nothing below may handle it."""


def things(**exports: Any) -> Dataset:
    dataset = a_dataset({"id": "int64", "name": "string"}, key=["id"])
    document = dataset.model_dump(by_alias=True, exclude_unset=True)
    return Dataset.model_validate(document | {"exports": {"csv": {"compression": "none"}, **exports}})


async def put_batch(staging: ObjectStore, dataset: Dataset, sequence: int, ids: range) -> BatchManifest:
    rows = [{"id": n, "name": f"name {n}"} for n in ids]
    manifest = await put_processed(staging, dataset, rows, sequence=sequence)
    return await Batches(staging, "processor").commit(manifest)


async def put_batches(
    staging: ObjectStore, dataset: Dataset, sizes: list[int], seed: int = 0
) -> list[Artifact]:
    """Batches of these sizes, ids counted over all; stored in any order."""
    starts = [sum(sizes[:place]) for place in range(len(sizes))]
    order = list(enumerate(zip(starts, sizes, strict=True)))
    random.Random(seed).shuffle(order)  # noqa: S311 - any order will do
    artifacts: list[Artifact] = []
    for sequence, (start, size) in order:
        artifacts += (await put_batch(staging, dataset, sequence, range(start, start + size))).artifacts
    return artifacts


def combiner(staging: ObjectStore, lake: ObjectStore, dataset: Dataset) -> Combiner:
    return Combiner(staging, lake, datasets_of({"things": dataset}))


async def combine(
    staging: ObjectStore, lake: ObjectStore, dataset: Dataset, name: Format = "csv"
) -> ExportsCombined:
    found = await combiner(staging, lake, dataset).combine("run-1", "things", name)
    assert found is not None
    return found


async def files_of(lake: ObjectStore) -> dict[str, bytes]:
    found = [info.key async for info in lake.list("")]
    return {key: await lake.get(key) or b"" for key in found}


async def combined(
    sizes: list[int], seed: int = 0, lake: ObjectStore | None = None, **exports: Any
) -> tuple[dict[str, Any], dict[str, bytes]]:
    staging, lake, dataset = open_memory("staging"), lake or open_memory("lake"), things(**exports)
    await put_batches(staging, dataset, sizes, seed)
    return manifest_of(await combine(staging, lake, dataset)), await files_of(lake)


def ids_of(files: dict[str, bytes], manifest: dict[str, Any]) -> list[list[int]]:
    texts = [files[f"{FOLDER}/{file['name']}"].decode() for file in manifest["files"]]
    return [[int(row["id"]) for row in csv.DictReader(io.StringIO(text, newline=""))] for text in texts]


async def test_all_batches_become_one_file_with_a_manifest_beside_it() -> None:
    manifest, files = await combined([3, 0, 4, 2])
    assert ids_of(files, manifest) == [list(range(9))]
    assert (manifest["rows"], manifest["batches"]) == (9, 4)
    stored = json.loads(files[f"{FOLDER}/manifest.json"])
    assert manifest == stored
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


async def test_without_rows_there_is_a_manifest_and_no_file() -> None:
    manifest, files = await combined([0, 0])
    assert (manifest["files"], list(files)) == ([], [f"{FOLDER}/manifest.json"])


async def test_a_batch_that_is_gone_is_refused() -> None:
    staging, lake, dataset = open_memory("staging"), open_memory("lake"), things()
    artifacts = await put_batches(staging, dataset, [3, 4])
    await staging.delete(staging.key(artifacts[0].uri, ""))
    with pytest.raises(PermanentError) as caught:
        await combine(staging, lake, dataset)
    assert caught.value.reason == Reason.OBJECT_MISSING
    assert await files_of(lake) == {}


async def left_in_staging(staging: ObjectStore) -> list[str]:
    return [info.key async for info in staging.list("") if info.key.endswith(".checkpoint")]


@pytest.mark.parametrize("point", ["converter.combined_put", "converter.combined"])
@pytest.mark.parametrize("hit", [1, 2])
async def test_one_that_was_killed_half_way_ends_like_one_that_was_not(
    point: str, hit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging, lake, dataset = open_memory("staging"), open_memory("lake"), things(max_rows=4)
    await put_batches(staging, dataset, [3, 4, 2])
    reached: list[str] = []

    def reach(now: str) -> None:
        reached.append(now)
        if reached.count(point) == hit:
            raise KilledError(point)

    monkeypatch.setattr(crashpoints, "reach", reach)
    for _ in range(hit):
        with contextlib.suppress(KilledError):
            await combine(staging, lake, dataset)
    monkeypatch.undo()
    manifest, whole = manifest_of(await combine(staging, lake, dataset)), await files_of(lake)
    assert (manifest, whole) == await combined([3, 4, 2], max_rows=4)
    assert await left_in_staging(staging) == []


async def test_it_goes_on_behind_the_last_file(monkeypatch: pytest.MonkeyPatch) -> None:
    staging, lake, dataset = open_memory("staging"), open_memory("lake"), things(max_bytes=10_000)
    await put_batches(staging, dataset, [900, 1_100, 1_000])
    written: list[int] = []
    original = Combination.write

    def write(
        self: Combination, place: Place, target: Path, check: Callable[[], None] = lambda: None
    ) -> CombinedFile:
        written.append(place.first)
        return original(self, place, target, check)

    monkeypatch.setattr(Combination, "write", write)
    found = None
    while found is None:
        found = await combiner(staging, lake, dataset).combine("run-1", "things", "csv", IMPATIENT)
    assert len(written) == len(set(written)) == len(found.files) > 3
    assert (manifest_of(found), await files_of(lake)) == await combined([900, 1_100, 1_000], max_bytes=10_000)
    assert await left_in_staging(staging) == []


async def test_two_at_once_end_as_one() -> None:
    staging, lake, dataset = open_memory("staging"), open_memory("lake"), things(max_rows=2)
    await put_batches(staging, dataset, [3, 4, 2])
    first, second = await asyncio.gather(
        *(combiner(staging, lake, dataset).combine("run-1", "things", "csv", IMPATIENT) for _ in range(2))
    )
    assert first is second is None
    found = await combine(staging, lake, dataset)
    assert (manifest_of(found), await files_of(lake)) == await combined([3, 4, 2], max_rows=2)


async def test_a_batch_that_comes_meanwhile_is_in_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest of one that was overtaken never stays."""
    staging, lake, dataset = open_memory("staging"), open_memory("lake"), things()
    await put_batch(staging, dataset, 1, range(3, 7))
    late = await put_processed(staging, dataset, [{"id": n, "name": f"name {n}"} for n in range(3)])

    def reach(point: str) -> None:
        if point == "converter.combined":
            arrivals.append(asyncio.ensure_future(Batches(staging, "processor").commit(late)))

    arrivals: list[asyncio.Future[BatchManifest]] = []
    monkeypatch.setattr(crashpoints, "reach", reach)
    original = Combiner._inputs  # noqa: SLF001 - where the batches are looked for again

    async def inputs(self: Combiner, *arguments: Any) -> Any:
        await asyncio.gather(*arrivals)
        return await original(self, *arguments)

    monkeypatch.setattr(Combiner, "_inputs", inputs)
    manifest = manifest_of(await combine(staging, lake, dataset))
    files = await files_of(lake)
    assert ids_of(files, manifest) == [list(range(7))]
    assert json.loads(files[f"{FOLDER}/manifest.json"]) == manifest


async def test_dead_batches_are_left_out() -> None:
    staging, lake, dataset = open_memory("staging"), open_memory("lake"), things()
    await put_batches(staging, dataset, [3, 4])
    crawled = await put_processed(staging, dataset, [{"id": 99, "name": None}], sequence=2)
    dead = dead_manifest(crawled, "processor", PermanentError(Reason.SCHEMA, "no rows"))
    await Batches(staging, "processor").commit(dead)
    manifest = manifest_of(await combine(staging, lake, dataset))
    assert (manifest["batches"], ids_of(await files_of(lake), manifest)) == (2, [list(range(7))])


async def test_an_outage_is_transient_and_the_next_try_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    staging, lake, dataset = open_memory("staging"), open_memory("lake"), things(max_rows=4)
    await put_batches(staging, dataset, [3, 4, 2])

    async def away(_store: ObjectStore, _key: str, _data: object) -> None:
        raise TransientError("the lake is away")

    with monkeypatch.context() as patched:
        patched.setattr(ObjectStore, "put", away)
        with pytest.raises(TransientError):
            await combine(staging, lake, dataset)
    found = manifest_of(await combine(staging, lake, dataset))
    assert (found, await files_of(lake)) == await combined([3, 4, 2], max_rows=4)


async def test_a_file_that_takes_too_long_is_refused_with_what_to_do() -> None:
    staging, lake, dataset = open_memory("staging"), open_memory("lake"), things()
    await put_batches(staging, dataset, [3])
    with pytest.raises(PermanentError, match="ask for smaller ones") as caught:
        await combiner(staging, lake, dataset).combine("run-1", "things", "csv", Patience(0.0, file_s=-1.0))
    assert caught.value.reason == Reason.TOO_LARGE


async def test_too_many_files_are_refused_before_the_first() -> None:
    staging, lake, dataset = open_memory("staging"), open_memory("lake"), things(max_rows=1)
    await put_batches(staging, dataset, [MAX_COMBINED_FILES + 1])
    with pytest.raises(PermanentError, match="raise max_rows"):
        await combine(staging, lake, dataset)
    assert await files_of(lake) == {}


async def test_most_files_fit_into_an_event() -> None:
    name = "d" * 63
    key = keys.combined_key("r" * 128, name, "parquet", f"{name}-1000-{'0' * 16}", "parquet")
    uri = f"s3://{'b' * 63}/{key}"
    file = Artifact(uri=uri, format="parquet", rows=2**40, bytes=2**50, sha256="0" * 64)
    event = ExportsCombined(
        run_id="r",
        dataset=name,
        format="parquet",
        files=(file,) * MAX_COMBINED_FILES,
        produced_at=PRODUCED_AT,
    )
    assert len(encode(event)) < 1_000_000


@pytest.mark.parametrize("name", SUPPORTED_FORMATS)
async def test_each_format_is_combined_and_the_same_batches_give_the_same_bytes(name: Format) -> None:
    found = []
    for seed in (1, 2):
        staging, lake, dataset = open_memory("staging"), open_memory("lake"), things()
        await put_batches(staging, dataset, [3, 0, 4], seed)
        combined_ = await combine(staging, lake, dataset, name)
        assert [file.rows for file in combined_.files] == [7]
        found.append(await files_of(lake))
    assert found[0] == found[1]


async def test_columns_that_only_some_batches_have_are_null_in_the_others() -> None:
    """A run may have batches of several versions of its dataset."""
    staging, lake, dataset = open_memory("staging"), open_memory("lake"), things()
    await put_batch(staging, dataset, 0, range(2))
    await put_other_version(staging, dataset, 1, {"id": pa.array([2], pa.int64()), "size": pa.array([5])})
    await put_other_version(
        staging,
        dataset,
        2,
        {"id": pa.array([3], pa.int64()), "name": pa.array([4]), "size": pa.array(["x"])},
        3,
    )
    found = await combine(staging, lake, dataset, "parquet")
    [key] = [key for key in await files_of(lake) if key.endswith(".parquet")]
    data = await lake.get(key)
    assert data is not None
    assert found.batches == 3
    assert pq.read_table(io.BytesIO(data)).to_pylist() == [
        {"id": 0, "name": "name 0", "size": None},
        {"id": 1, "name": "name 1", "size": None},
        {"id": 2, "name": None, "size": "5"},
        {"id": 3, "name": "4", "size": "x"},
    ]


async def put_other_version(
    staging: ObjectStore, dataset: Dataset, sequence: int, columns: dict[str, Any], version: int = 2
) -> None:
    lineage = [field for field in clean_schema(dataset) if field.name.startswith("_")]
    table = pa.table(columns)
    for field in lineage:
        table = table.append_column(field.name, pa.nulls(table.num_rows, field.type))
    with scratch_folder() as folder:
        pq.write_table(table, folder / "clean.parquet")
        manifest = await put_file(
            staging, dataset, folder / "clean.parquet", rows=table.num_rows, sequence=sequence
        )
    artifact = manifest.artifacts[0].model_copy(update={"schema_version": version})
    await Batches(staging, "processor").commit(manifest.model_copy(update={"artifacts": (artifact,)}))
