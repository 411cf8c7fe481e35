"""Batches of a dataset whose columns may change."""

import asyncio
import json
from functools import partial
from typing import Any

import pytest

from services.processor.domain.fields import FieldsSeen
from services.processor.service import ProcessorService
from services.processor.work import work_on
from shared.datasets.model import Dataset
from shared.events.models import BatchManifest, Counts
from shared.stages.results import Batches
from shared.storage import keys
from shared.storage.object_store import ObjectStore
from shared.transforms.apply import Transformer
from shared.transforms.sandbox import Sandbox
from tests.support.crawled import a_dataset, copy_batch, put_crawled
from tests.support.datasets import datasets_of
from tests.unit.processor.test_service import quarantine_of, rows_of

COLUMNS = [{"name": "id", "type": "int64"}, {"name": "label", "type": "string"}]


def things(**contract: Any) -> Dataset:
    return a_dataset(COLUMNS, key=["id"], schema=contract)


async def process(
    staging: ObjectStore,
    dataset: Dataset,
    *records: Any,
    sequence: int = 0,
    run_id: str = "run-1",
    sandbox: Sandbox | None = None,
) -> BatchManifest:
    """By a process of its own."""
    lines = [record if isinstance(record, bytes) else json.dumps(record).encode() for record in records]
    crawled = await put_crawled(staging, "things", lines, sequence=sequence, run_id=run_id)
    batches = Batches(staging, "processor")
    work = None if sandbox is None else partial(work_on, batches.artifacts, Transformer(sandbox=sandbox))
    service = ProcessorService(batches, datasets_of({"things": dataset}, staging), work)
    return await service.process(crawled)


async def forget(staging: ObjectStore, result: BatchManifest) -> None:
    """As if the process had ended before the commit."""
    await staging.delete(keys.manifest_key(result.run_id, result.dataset, "processor", result.batch_id))


async def test_a_new_field_is_a_column_from_its_batch_on(staging: ObjectStore) -> None:
    dataset = things(new_columns="evolve")
    plain = await process(staging, dataset, {"id": 1, "label": "x"})
    grown = await process(
        staging, dataset, {"id": 2, "label": "x", "Extra Field": {"b": 1, "a": 2}}, sequence=1
    )
    again = await process(staging, dataset, {"id": 3, "label": "x"}, sequence=2)
    assert [batch.columns_version for batch in (plain, grown, again)] == [1, 2, 1]
    assert (await rows_of(staging, grown)).column("extra_field").to_pylist() == ['{"a":2,"b":1}']
    assert "extra_field" not in (await rows_of(staging, again)).column_names
    assert grown.detail == "version 2 of its columns: extra_field (json) is added"
    assert (plain.detail, again.detail) == (None, None)
    wider = await process(staging, dataset, {"id": 4, "label": "x", "more": 1}, sequence=3)
    assert (wider.columns_version, wider.absent) == (3, ())


async def test_a_batch_done_again_after_newer_versions_has_the_same_bytes(staging: ObjectStore) -> None:
    dataset = things(new_columns="evolve", types="widen")
    records: list[list[Any]] = [
        [{"id": 1, "label": "x"}],
        [{"id": 2, "a": 1}],
        [{"id": 3, "a": "x", "b": 1.5}],
        [{"id": 4, "label": 7}],
    ]
    first = [await process(staging, dataset, *some, sequence=n) for n, some in enumerate(records)]
    for result in reversed(first):
        await forget(staging, result)
        done_again = await process(staging, dataset, *records[result.sequence], sequence=result.sequence)
        assert done_again.artifacts == result.artifacts
        assert (done_again.columns_version, done_again.detail) == (result.columns_version, result.detail)


async def test_replicas_that_work_on_all_batches_at_once_agree(staging: ObjectStore) -> None:
    dataset = things(new_columns="evolve", types="widen")
    batches: list[list[Any]] = [[{"id": n, f"f{n % 3}": n if n % 2 else "x"}] for n in range(9)]
    await asyncio.gather(
        *(process(staging, dataset, *some, sequence=n) for _ in range(3) for n, some in enumerate(batches))
    )
    results = [await process(staging, dataset, *some, sequence=n) for n, some in enumerate(batches)]
    for n, result in enumerate(results):
        await forget(staging, result)
        assert (await process(staging, dataset, *batches[n], sequence=n)).artifacts == result.artifacts


async def test_values_of_another_type_cost_their_row_where_types_are_strict(staging: ObjectStore) -> None:
    dataset = things(new_columns="evolve")
    await process(staging, dataset, {"id": 1, "a": 1})
    result = await process(staging, dataset, {"id": 2, "a": "x"}, {"id": 3, "a": 2}, sequence=1)
    assert result.counts == Counts(read=2, accepted=1, rejected=1)
    assert [line["reason"] for line in await quarantine_of(staging, result)] == ["type"]


async def test_a_wider_column_takes_every_value_as_a_text(staging: ObjectStore) -> None:
    dataset = things(types="widen")
    values = [
        "x",
        'say "hi"',
        1,
        1.0,
        1e30,
        -0.0,
        True,
        None,
        [1, {"b": 2, "a": 1}],
        "é\U0001f600",
        "\u2028",
        "",
    ]
    result = await process(staging, dataset, *({"id": n, "label": value} for n, value in enumerate(values)))
    assert (await rows_of(staging, result)).column("label").to_pylist() == [
        "x", 'say "hi"', "1", "1", "1e30", "0", "true", None, '[1,{"a":1,"b":2}]', "é\U0001f600", "\u2028", "",
    ]  # fmt: skip


async def test_a_text_with_a_nul_costs_its_row(staging: ObjectStore) -> None:
    lines = (b'{"id":1,"label":1}', b'{"id":2,"label":"\\u0000"}', b'{"id":3,"label":"\\ud83d\\ude00"}')
    result = await process(staging, things(types="widen"), *lines)
    assert [line["reason"] for line in await quarantine_of(staging, result)] == ["nul"]
    assert (await rows_of(staging, result)).column("label").to_pylist() == ["1", "\U0001f600"]


async def test_rows_with_an_unknown_field_are_refused(staging: ObjectStore) -> None:
    records = [{"id": 1}, {"id": 2, "more": None}, {"id": 3, 'a "b".c': 1}, {"id": 4, "label": "x"}]
    result = await process(staging, things(new_columns="reject"), *records)
    [line] = await quarantine_of(staging, result)
    assert (line["reason"], line["detail"]) == ("new_field", '"a \\"b\\".c": no column is for this field')
    assert (await rows_of(staging, result)).column("id").to_pylist() == [1, 2, 4]


async def test_odd_lines_add_nothing(staging: ObjectStore) -> None:
    lines = (b"null", b"[1]", b"{", b"", b'{"id":1,"a":NaN}', b"\xff", b'{"id":1}', b'{"id":"x","b":1}')
    result = await process(staging, things(new_columns="evolve"), *lines)
    assert result.counts.accepted == 1
    assert (await rows_of(staging, result)).schema.names[:3] == ["id", "label", "b"]


async def test_a_replayed_batch_keeps_its_columns(staging: ObjectStore) -> None:
    dataset = things(new_columns="evolve")
    old = await process(staging, dataset, {"id": 1, "a": 1})
    await process(staging, dataset, {"id": 2, "b": 1}, sequence=1)
    service = ProcessorService(Batches(staging, "processor"), datasets_of({"things": dataset}, staging))
    replayed = await service.process(await copy_batch(staging, old))
    assert replayed.columns_version == old.columns_version == 2
    assert (await rows_of(staging, replayed)).column("a").to_pylist() == [1]


@pytest.mark.parametrize("contract", ["evolve", "reject"])
async def test_fields_of_any_name_are_read_and_told(staging: ObjectStore, contract: str) -> None:
    odd = [
        'say "hi"',
        "back\\slash",
        "\0",
        "\x7f",
        "\u2028",
        "\ud800",
        "",
        " ",
        "é",
        "x" * 500,
        "f0",
        "w0",
        "o0",
    ]
    columns = [*COLUMNS, {"name": "quoted", "type": "int64", "from": r'"say \"hi\""'}]
    dataset = a_dataset(columns, key=["id"], schema={"new_columns": contract})
    record = dict.fromkeys(odd, 1)
    result = await process(staging, dataset, {"id": 1, **record}, {"id": 2, 'say "hi"': 2})
    table = await rows_of(staging, result)
    if contract == "reject":
        assert table.column("quoted").to_pylist() == [2]
        return
    assert table.column("quoted").to_pylist() == [1, 2]
    assert table.column_names[3:7] == ["back_slash", "f0", "o0", "w0"]


def test_chunks_read_at_once_and_one_by_one_give_the_same() -> None:
    first = b'{"a":1,"b":"x","\\u0000":1}\n{"c":null}\n'
    later = b'{"a":0.5,"b":null}\n{"c":[1],"a":12345678901234567890123,"d":true,"d":"last"}\n'
    together, apart = FieldsSeen(["d"]), FieldsSeen(["d"])
    for chunk in (first, later, later):
        together.look(chunk)
    for line in (first + later).splitlines():
        apart.look(line)
    assert together.found() == apart.found()


async def test_objects_that_are_used_as_maps_are_bounded(staging: ObjectStore) -> None:
    record = {"id": 1} | {f"k{n}": n for n in range(20_000)}
    result = await process(staging, things(new_columns="evolve", max_columns=3), record)
    assert (await rows_of(staging, result)).num_columns == 2 + 3 + 4
    assert result.detail is not None
    assert result.detail.endswith("and 9987 more: there is no room for more columns (max_columns: 3)")


@pytest.mark.parametrize(
    ("sql", "left"),
    [
        ("SELECT * REPLACE (a + 1 AS a) FROM batch", [2]),
        ("SELECT id, label, _source_position FROM batch", [None]),
    ],
)
async def test_a_transform_sees_new_columns_and_decides_what_is_left(
    staging: ObjectStore, sql: str, left: list[int | None]
) -> None:
    dataset = a_dataset(COLUMNS, key=["id"], schema={"new_columns": "evolve"}, transform=[{"sql": sql}])
    with Sandbox() as sandbox:
        result = await process(staging, dataset, {"id": 1, "label": "x", "a": 1}, sandbox=sandbox)
    assert (await rows_of(staging, result)).column("a").to_pylist() == left


async def test_a_transform_and_wider_types_are_refused_together() -> None:
    with pytest.raises(ValueError, match="widen cannot be together with a `transform`"):
        a_dataset(COLUMNS, key=["id"], schema={"types": "widen"}, transform=[{"sql": "SELECT * FROM batch"}])
