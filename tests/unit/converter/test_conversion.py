"""The whole converter on object stores in memory."""

import asyncio
import csv
import gzip
import hashlib
import io
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from polars.exceptions import PanicException

from services.converter.formats.base import ExportFormat
from services.converter.formats.registry import FORMATS
from services.converter.service.conversion import ConverterService
from shared.datasets.arrow import data_schema
from shared.datasets.model import Dataset
from shared.errors import PermanentError, TransientError
from shared.events.decode import encode
from shared.events.models import Artifact, BatchManifest, Counts, CrawlRequest
from shared.events.names import SUPPORTED_FORMATS, Format
from shared.observability.metrics import STAGE_BATCHES, STAGE_ROWS
from shared.reasons import Reason
from shared.stages.failures import BatchDeadError, dead_manifest
from shared.stages.results import Batches
from shared.stages.scratch import scratch_folder
from shared.storage import keys
from shared.storage.object_store import ObjectStore, open_memory
from tests.support.counters import gained
from tests.support.datasets import datasets_of
from tests.support.processed import REQUESTED_AT, put_file, put_processed, put_table

ROWS: list[dict[str, Any]] = [
    {
        "id": 1,
        "name": 'comma, "quote"\nnew\r\nline \\ back',
        "price": 1.5,
        "sold": True,
        "at": datetime(2024, 5, 6, 7, 8, 9, 10, tzinfo=UTC),
        "day": date(2024, 5, 6),
    },
    {
        "id": 2,
        "name": "",
        "price": -0.0,
        "sold": False,
        "at": datetime(1, 1, 1, tzinfo=UTC),
        "day": date(1, 1, 1),
    },
    {"id": 3, "name": None, "price": None, "sold": None, "at": None, "day": None},
    {
        "id": -4,
        "name": "Zürich 😀 \u202ertl",
        "price": 1e300,
        "sold": True,
        "at": None,
        "day": date(9999, 12, 31),
    },
]


async def ask(staging: ObjectStore, formats: Sequence[Format] | None, run_id: str = "run-1") -> None:
    request = CrawlRequest(
        run_id=run_id,
        datasets=("things",),
        requested_at=REQUESTED_AT,
        formats=None if formats is None else tuple(formats),
    )
    await staging.put(keys.request_key(run_id), encode(request))


async def read(store: ObjectStore, artifact: Artifact) -> bytes:
    data = await store.get(store.key(artifact.uri, "exports/run-1/things/"))
    assert data is not None
    assert hashlib.sha256(data).hexdigest() == artifact.sha256
    assert len(data) == artifact.bytes
    return data


async def csv_of(lake: ObjectStore, result: BatchManifest) -> str:
    (artifact,) = [artifact for artifact in result.artifacts if artifact.format == "csv.gz"]
    return gzip.decompress(await read(lake, artifact)).decode()


async def failure_of(service: ConverterService, processed: BatchManifest) -> Reason:
    with pytest.raises(PermanentError) as caught:
        await service.convert(processed)
    return caught.value.reason


async def test_a_batch_becomes_one_file_per_asked_format(
    staging: ObjectStore, lake: ObjectStore, service: ConverterService, things: Dataset
) -> None:
    await ask(staging, ["parquet", "csv", "parquet"])
    processed = await put_processed(staging, things, ROWS, sequence=12)
    result = await service.convert(processed)
    assert [(artifact.format, artifact.rows) for artifact in result.artifacts] == [
        ("parquet", 4),
        ("csv.gz", 4),
    ]
    for artifact, folder, extension in zip(
        result.artifacts, ("parquet", "csv"), ("parquet", "csv.gz"), strict=True
    ):
        name = f"000012-{artifact.sha256[:16]}.{extension}"
        assert artifact.uri == f"memory://lake/exports/run-1/things/{folder}/{name}"
        await read(lake, artifact)
    assert result.counts == Counts(read=4, accepted=4)
    assert (result.stage, result.status, result.detail) == ("converter", "done", None)
    assert result.parent_batch_ids == (processed.batch_id,)


async def test_without_asked_formats_the_dataset_s_own_are_written(
    staging: ObjectStore, lake: ObjectStore, batches: Batches, things: Dataset
) -> None:
    await ask(staging, None)
    own = things.model_copy(update={"formats": ("csv",)})
    service = ConverterService(batches, lake, datasets_of({"things": own}))
    result = await service.convert(await put_processed(staging, own, ROWS))
    assert [artifact.format for artifact in result.artifacts] == ["csv.gz"]


async def test_the_parquet_has_the_dataset_s_own_columns_and_every_value(
    staging: ObjectStore, lake: ObjectStore, service: ConverterService, things: Dataset
) -> None:
    await ask(staging, ["parquet"])
    result = await service.convert(await put_processed(staging, things, ROWS))
    file = pq.ParquetFile(io.BytesIO(await read(lake, result.artifacts[0])))
    assert file.schema_arrow.equals(data_schema(things))
    found = [
        {name: value.astimezone(UTC) if isinstance(value, datetime) else value for name, value in row.items()}
        for row in file.read().to_pylist()
    ]
    assert found == ROWS
    assert repr(found[1]["price"]) == "-0.0"
    group = file.metadata.row_group(0)
    assert {group.column(n).compression for n in range(group.num_columns)} == {"ZSTD"}


async def test_the_csv_is_rfc_4180_with_null_and_empty_apart(
    staging: ObjectStore, lake: ObjectStore, service: ConverterService, things: Dataset
) -> None:
    await ask(staging, ["csv"])
    text = await csv_of(lake, await service.convert(await put_processed(staging, things, ROWS)))
    lines = text.split("\r\n")
    assert lines[0] == "id,name,price,sold,at,day"
    assert '\r\n2,"",-0.0,false,0001-01-01T00:00:00.000000Z,0001-01-01\r\n' in text
    assert "\r\n3,,,,,\r\n" in text
    assert text.endswith("\r\n")
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[1] == ["1", ROWS[0]["name"], "1.5", "true", "2024-05-06T07:08:09.000010Z", "2024-05-06"]
    assert rows[4] == ["-4", ROWS[3]["name"], "1e+300", "true", "", "9999-12-31"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", "＋1", "－1", "＠x"])  # noqa: RUF001 - full-width on purpose
async def test_a_text_that_a_spreadsheet_would_run_is_escaped(
    staging: ObjectStore, lake: ObjectStore, service: ConverterService, things: Dataset, text: str
) -> None:
    await ask(staging, ["csv"])
    rows = [{"id": -1, "name": text, "price": -1.5}, {"id": 2, "name": f"a{text}"}]
    content = await csv_of(lake, await service.convert(await put_processed(staging, things, rows)))
    found = list(csv.reader(io.StringIO(content, newline="")))
    assert found[1][:3] == ["-1", "'" + text, "-1.5"]
    assert found[2][1] == f"a{text}"


async def test_a_batch_without_rows_writes_no_file(
    staging: ObjectStore, lake: ObjectStore, service: ConverterService, things: Dataset
) -> None:
    await ask(staging, SUPPORTED_FORMATS)
    result = await service.convert(await put_processed(staging, things, []))
    assert (result.status, result.artifacts, result.counts) == ("done", (), Counts())
    assert [info async for info in lake.list("")] == []


async def test_a_run_that_asks_for_no_format_gets_no_file(
    staging: ObjectStore, service: ConverterService, things: Dataset
) -> None:
    await ask(staging, [])
    result = await service.convert(await put_processed(staging, things, ROWS))
    assert (result.status, result.artifacts, result.counts.read) == ("done", (), 4)


async def test_many_rows_go_through_several_row_groups(
    staging: ObjectStore, lake: ObjectStore, service: ConverterService, things: Dataset
) -> None:
    await ask(staging, ["parquet", "csv"])
    count = 250_000
    table = pa.table(
        {
            "id": pa.array(range(count), pa.int64()),
            "name": pa.array([f"name {n}" for n in range(count)]),
            "price": pa.nulls(count, pa.float64()),
            "sold": pa.nulls(count, pa.bool_()),
            "at": pa.nulls(count, pa.timestamp("us", tz="UTC")),
            "day": pa.nulls(count, pa.date32()),
            "_run_id": pa.repeat("run-1", count),
            "_batch_id": pa.repeat("b", count),
            "_requested_at": pa.repeat(pa.scalar(REQUESTED_AT, pa.timestamp("us", tz="UTC")), count),
            "_source_position": pa.array(range(count), pa.int64()),
        }
    )
    with scratch_folder() as folder:
        pq.write_table(table, folder / "clean", row_group_size=100_000)
        processed = await put_file(staging, things, folder / "clean", rows=count)
    result = await service.convert(processed)
    file = pq.ParquetFile(io.BytesIO(await read(lake, result.artifacts[0])))
    groups = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    assert groups == [100_000, 100_000, 50_000]
    assert result.artifacts[0].bytes < count * 4
    lines = (await csv_of(lake, result)).split("\r\n")
    assert (len(lines), lines[1], lines[-2]) == (count + 2, "0,name 0,,,,", "249999,name 249999,,,,")


async def test_a_column_that_is_newer_than_the_batch_is_null(
    staging: ObjectStore, lake: ObjectStore, batches: Batches, things: Dataset
) -> None:
    await ask(staging, ["csv"])
    older = things.model_copy(update={"columns": things.columns[:2]})
    service = ConverterService(batches, lake, datasets_of({"things": things}))
    processed = await put_processed(staging, older, [{"id": 1, "name": "n"}])
    assert (await csv_of(lake, await service.convert(processed))).split("\r\n")[1] == "1,n,,,,"


async def test_the_same_batch_gives_the_same_bytes(things: Dataset) -> None:
    hashes = set()
    for _ in range(2):
        staging = open_memory("staging")
        await ask(staging, SUPPORTED_FORMATS)
        service = ConverterService(
            Batches(staging, "converter"), open_memory("lake"), datasets_of({"things": things})
        )
        result = await service.convert(await put_processed(staging, things, ROWS * 1000))
        hashes.add(tuple(artifact.sha256 for artifact in result.artifacts))
    assert len(hashes) == 1


async def test_a_batch_that_comes_again_is_not_done_again(
    staging: ObjectStore, service: ConverterService, things: Dataset
) -> None:
    await ask(staging, ["csv"])
    processed = await put_processed(staging, things, ROWS)
    first = await service.convert(processed)
    await staging.delete(staging.key(processed.artifacts[0].uri, ""))
    assert await service.convert(processed) == first


async def test_of_several_replicas_with_one_batch_all_publish_the_same_and_one_counts_it(
    staging: ObjectStore, lake: ObjectStore, things: Dataset
) -> None:
    await ask(staging, ["parquet", "csv"])
    processed = await put_processed(staging, things, ROWS)
    replicas = [
        ConverterService(Batches(staging, "converter"), lake, datasets_of({"things": things}))
        for _ in range(3)
    ]
    with gained(STAGE_BATCHES) as counted, gained(STAGE_ROWS) as rows:
        results = await asyncio.gather(*(replica.convert(processed) for replica in replicas))
    assert results[0] == results[1] == results[2]
    assert counted == {("converter", "things", "done"): 1}
    assert rows == {("converter", "things", "accepted"): len(ROWS)}
    assert len([info async for info in lake.list("")]) == 2


async def test_a_dead_batch_stays_dead(
    staging: ObjectStore, service: ConverterService, batches: Batches, things: Dataset
) -> None:
    processed = await put_processed(staging, things, ROWS)
    await batches.commit(dead_manifest(processed, "converter", PermanentError(Reason.SCHEMA, "broken")))
    with pytest.raises(BatchDeadError):
        await service.convert(processed)


async def test_a_cancelled_run_s_batches_end(
    staging: ObjectStore, service: ConverterService, things: Dataset
) -> None:
    processed = await put_processed(staging, things, ROWS)
    await staging.put(keys.cancel_key("run-1"), b"")
    assert await failure_of(service, processed) == Reason.CANCELLED


async def test_a_run_without_a_request_is_refused(
    staging: ObjectStore, service: ConverterService, things: Dataset
) -> None:
    assert await failure_of(service, await put_processed(staging, things, ROWS)) == Reason.OBJECT_MISSING


async def test_an_unknown_dataset_is_refused(
    staging: ObjectStore, service: ConverterService, things: Dataset
) -> None:
    other = things.model_copy(update={"name": "others"})
    assert await failure_of(service, await put_processed(staging, other, ROWS)) == Reason.SCHEMA


@pytest.mark.parametrize("wrong", [{"stage": "crawler"}, {"status": "dead"}, {"artifacts": ()}])
async def test_a_manifest_that_is_not_a_processed_batch_is_refused(
    staging: ObjectStore, service: ConverterService, things: Dataset, wrong: dict[str, Any]
) -> None:
    await ask(staging, None)
    processed = await put_processed(staging, things, ROWS)
    assert await failure_of(service, processed.model_copy(update=wrong)) == Reason.SCHEMA


@pytest.mark.parametrize(
    "uri",
    [
        "memory://lake/runs/run-1/things/processor/x.parquet",
        "memory://staging/runs/run-2/things/processor/x.parquet",
    ],
)
async def test_an_artifact_of_another_bucket_or_run_is_not_read(
    staging: ObjectStore, service: ConverterService, things: Dataset, uri: str
) -> None:
    await ask(staging, None)
    processed = await put_processed(staging, things, ROWS)
    foreign = processed.artifacts[0].model_copy(update={"uri": uri})
    assert await failure_of(service, processed.model_copy(update={"artifacts": (foreign,)})) == Reason.SCHEMA


@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped"])
async def test_a_damaged_artifact_is_never_used(
    staging: ObjectStore, service: ConverterService, things: Dataset, damage: str
) -> None:
    await ask(staging, None)
    processed = await put_processed(staging, things, ROWS)
    key = staging.key(processed.artifacts[0].uri, "")
    data = await staging.get(key)
    assert data is not None
    if damage == "missing":
        await staging.delete(key)
    else:
        await staging.put(key, data[:-1] if damage == "truncated" else bytes([data[0] ^ 1]) + data[1:])
    expected = Reason.OBJECT_MISSING if damage == "missing" else Reason.CHECKSUM
    assert await failure_of(service, processed) == expected


async def test_what_is_not_parquet_is_refused(
    staging: ObjectStore, service: ConverterService, things: Dataset, tmp_path: Path
) -> None:
    await ask(staging, None)
    (tmp_path / "clean").write_bytes(b"not parquet")
    processed = await put_file(staging, things, tmp_path / "clean", rows=1)
    assert await failure_of(service, processed) == Reason.SCHEMA


async def test_pages_that_cannot_be_decoded_are_refused(
    staging: ObjectStore, service: ConverterService, things: Dataset, tmp_path: Path
) -> None:
    await ask(staging, ["parquet", "csv"])
    whole = await staging.get(
        staging.key((await put_processed(staging, things, ROWS * 100)).artifacts[0].uri, "")
    )
    assert whole is not None
    (tmp_path / "clean").write_bytes(whole[:30] + b"\xff" * 60 + whole[90:])
    processed = await put_file(staging, things, tmp_path / "clean", rows=400)
    assert await failure_of(service, processed) == Reason.SCHEMA


async def test_other_columns_than_the_dataset_s_are_refused(
    staging: ObjectStore, service: ConverterService, things: Dataset
) -> None:
    await ask(staging, None)
    processed = await put_table(staging, things, pa.table({"id": ["text"]}))
    assert await failure_of(service, processed) == Reason.SCHEMA


def failing(error: BaseException) -> ExportFormat:
    def fail(*_: object) -> None:
        raise error

    return ExportFormat(lambda _: "csv.gz", fail)


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> dict[Format, ExportFormat]:
    """The formats, for a test to break one."""
    formats = dict(FORMATS)
    monkeypatch.setattr("services.converter.service.conversion.FORMATS", formats)
    return formats


async def test_a_format_that_fails_leaves_the_others_and_is_named(
    staging: ObjectStore, service: ConverterService, things: Dataset, exports: dict[Format, ExportFormat]
) -> None:
    await ask(staging, ["csv", "parquet"])
    exports["csv"] = failing(RuntimeError("no way"))
    processed = await put_processed(staging, things, ROWS)
    result = await service.convert(processed)
    assert [artifact.format for artifact in result.artifacts] == ["parquet"]
    assert (result.status, result.detail) == ("done", "csv: RuntimeError: no way")
    assert await service.convert(processed) == result


async def test_a_format_in_which_polars_panics_leaves_the_others(
    staging: ObjectStore, service: ConverterService, things: Dataset, exports: dict[Format, ExportFormat]
) -> None:
    await ask(staging, ["csv", "parquet"])
    exports["csv"] = failing(PanicException("not yet implemented"))
    result = await service.convert(await put_processed(staging, things, ROWS))
    assert [artifact.format for artifact in result.artifacts] == ["parquet"]
    assert result.detail == "csv: RuntimeError: polars: not yet implemented"


async def test_a_text_too_long_for_a_cell_costs_the_workbook_alone(
    staging: ObjectStore, lake: ObjectStore, service: ConverterService, things: Dataset
) -> None:
    await ask(staging, SUPPORTED_FORMATS)
    result = await service.convert(await put_processed(staging, things, [{"id": 1, "name": "x" * 40_000}]))
    assert [artifact.format for artifact in result.artifacts] == [
        "parquet",
        "csv.gz",
        "json.gz",
        "feather",
        "avro",
    ]
    assert (result.detail or "").startswith("xlsx: PermanentError: column name: a text has 40,000 characters")
    assert len([info async for info in lake.list("")]) == 5


async def test_a_batch_of_which_no_format_can_be_written_is_not_done(
    staging: ObjectStore,
    service: ConverterService,
    batches: Batches,
    things: Dataset,
    exports: dict[Format, ExportFormat],
) -> None:
    await ask(staging, ["csv"])
    exports["csv"] = failing(RuntimeError("no way"))
    processed = await put_processed(staging, things, ROWS)
    with pytest.raises(RuntimeError):
        await service.convert(processed)
    assert await batches.committed("run-1", "things", processed.batch_id) is None


@pytest.mark.parametrize("error", [TransientError("away"), OSError(28, "No space left on device")])
async def test_an_outage_of_one_format_makes_the_whole_batch_come_again(
    staging: ObjectStore,
    service: ConverterService,
    batches: Batches,
    things: Dataset,
    exports: dict[Format, ExportFormat],
    error: Exception,
) -> None:
    await ask(staging, ["parquet", "csv"])
    before = exports["csv"]
    exports["csv"] = failing(error)
    processed = await put_processed(staging, things, ROWS)
    with pytest.raises(TransientError):
        await service.convert(processed)
    assert await batches.committed("run-1", "things", processed.batch_id) is None
    exports["csv"] = before
    assert len((await service.convert(processed)).artifacts) == 2
