"""`onpoint datasets diff`: how a dataset's columns differ between its file, its versions, its table, and two runs."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from console.cli import environment
from console.cli.errors import CommandError, WrongUseError
from console.client.ledger import open_ledger
from console.client.run_request import check_run_id
from console.formatting import did_you_mean
from shared.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from shared.datasets.column import Column
    from shared.datasets.model import Dataset
    from shared.datasets.versions import ColumnsVersion
    from shared.storage.object_store import ObjectStore

TWO = 2


def diff(name: str, runs: Sequence[str]) -> dict[str, Any]:
    """The columns by their names, with what each side has. Nothing is changed."""
    catalog = environment.catalog()
    dataset = catalog.get(name)
    if dataset is None:
        raise WrongUseError(
            catalog.why_refused(name) or f"there is no dataset {name}{did_you_mean(name, catalog)}"
        )
    if runs and len(runs) != TWO:
        raise WrongUseError("name two runs, as in --run A --run B, or none")
    for run_id in runs:
        check_run_id(run_id)
    try:
        return asyncio.run(_diff_of_runs(name, runs) if runs else _diff(dataset))
    except (PermanentError, TransientError) as error:
        raise CommandError(f"the versions of {name} cannot be read: {error}") from error


async def _diff(dataset: "Dataset") -> dict[str, Any]:
    from shared.datasets.chain import ColumnsChain
    from shared.datasets.versions import columns_at

    versions = await ColumnsChain(environment.staging()).all(dataset.name)
    async with open_ledger(environment.ledger_dsn()) as ledger:
        table = await ledger.column_types(dataset.table)
    sides = {
        "file": {column.name: column for column in dataset.columns},
        "newest": {
            column.name: column for column in columns_at(dataset, versions[-1] if versions else None).columns
        },
    }
    return {
        "dataset": dataset.name,
        "table": dataset.table,
        "schema": dataset.contract.model_dump(mode="json"),
        "versions": list(_versions(dataset, versions)),
        "columns": [_compared(name, sides, table) for name in _names(*sides.values())],
    }


def _versions(dataset: "Dataset", versions: Sequence["ColumnsVersion"]) -> Iterator[dict[str, Any]]:
    from shared.datasets.versions import columns_at

    before = {column.name: column for column in dataset.columns}
    for version in versions:
        now = {column.name: column for column in columns_at(dataset, version).columns}
        yield {
            "version": version.version,
            "run_id": version.run_id,
            "batch_id": version.batch_id,
            "made_at": version.made_at.isoformat(),
            "added": [_told(now[name]) for name in now if name not in before],
            "widened": [
                {**_told(now[name]), "was": before[name].type}
                for name in now
                if name in before and now[name] != before[name]
            ],
        }
        before = now


def _compared(
    name: str, sides: Mapping[str, Mapping[str, "Column"]], table: Mapping[str, str]
) -> dict[str, Any]:
    file, newest = sides["file"].get(name), sides["newest"].get(name)
    found = table.get(name)
    changes = []
    if newest is not None and file is None:
        changes.append("added")
    elif newest is not None and file is not None and newest != file:
        changes.append("widened")
    if newest is not None and found is None:
        changes.append("not in the table yet")
    elif newest is not None and found != newest.value_type.postgres:
        changes.append(f"the table has {found}")
    return {
        "name": name,
        "from": None if newest is None else newest.source_path or name,
        "file": None if file is None else file.type,
        "newest": None if newest is None else newest.type,
        "table": found,
        "differs": changes,
    }


async def _diff_of_runs(name: str, runs: Sequence[str]) -> dict[str, Any]:
    staging = environment.staging()
    sides = [await _of_run(staging, run_id, name) for run_id in runs]
    (first, _), (second, _) = sides
    before, after = ({column.name: column for column in dataset.columns} for dataset in (first, second))
    columns = []
    for column in _names(before, after):
        old, new = before.get(column), after.get(column)
        columns.append(
            {
                "name": column,
                "before": None if old is None else old.type,
                "after": None if new is None else new.type,
                "differs": _change(old, new),
            }
        )
    return {
        "dataset": name,
        "runs": [
            {"run_id": run_id, "columns_version": version}
            for run_id, (_, version) in zip(runs, sides, strict=True)
        ],
        "columns": columns,
    }


def _change(old: "Column | None", new: "Column | None") -> list[str]:
    if old is None:
        return ["added"]
    if new is None:
        return ["missing"]
    return [] if old == new else ["changed"]


async def _of_run(staging: "ObjectStore", run_id: str, name: str) -> tuple["Dataset", int]:
    """The dataset with the columns of all batches of the run, and their version."""
    from shared.datasets.frozen import RunDatasets
    from shared.datasets.versions import FILE
    from shared.events.decode import decode_event
    from shared.events.models import BatchManifest
    from shared.storage import keys

    datasets = RunDatasets(staging, dict)
    found = await datasets.find(run_id, name)
    if found is None:
        raise CommandError(f"run {run_id} has no dataset {name}: see `onpoint runs`")
    batches = [
        decode_event(BatchManifest, value)
        async for info in staging.list(keys.stage_prefix(run_id, name, "processor"))
        if info.key.endswith(".json") and (value := await staging.get(info.key)) is not None
    ]
    done = [batch for batch in batches if batch.status == "done"]
    if not done:
        return found, FILE
    return await datasets.of_batches(done), max(batch.columns_version for batch in done)


def _names(*sides: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(name for side in sides for name in side))


def _told(column: "Column") -> dict[str, Any]:
    return {"name": column.name, "type": column.type, "from": column.source_path or column.name}


def lines_of(document: Mapping[str, Any]) -> Iterator[str]:
    """For people."""
    if "runs" in document:
        yield from _lines_of_runs(document)
        return
    yield f"{document['dataset']}: table {document['table']}, {_contract(document['schema'])}"
    for version in document["versions"]:
        yield f"version {version['version']}: by run {version['run_id']}, {version['made_at']}"
        for column in version["added"]:
            yield f"  + {column['name']} {column['type']}, from {column['from']}"
        for column in version["widened"]:
            kind = column["type"] if column["type"] != column["was"] else f"{column['type']} of every value"
            yield f"  > {column['name']} {column['was']} becomes {kind}"
    if not document["versions"]:
        yield "version 1 is the newest: the columns of its file"
    yield from _differing(
        document["columns"], ("file", "newest", "table"), "file, versions and table have the same columns"
    )


def _lines_of_runs(document: Mapping[str, Any]) -> Iterator[str]:
    first, second = document["runs"]
    yield (
        f"{document['dataset']}: {first['run_id']} (version {first['columns_version']}), then "
        f"{second['run_id']} (version {second['columns_version']})"
    )
    yield from _differing(document["columns"], ("before", "after"), "both runs have the same columns")


def _differing(columns: Sequence[Mapping[str, Any]], sides: Sequence[str], same: str) -> Iterator[str]:
    differing = [column for column in columns if column["differs"]]
    if not differing:
        yield same
        return
    heads = ("column", *sides, "")
    rows = [heads, *(_row(column, sides) for column in differing)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(heads))]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def _row(column: Mapping[str, Any], sides: Sequence[str]) -> tuple[str, ...]:
    return (column["name"], *(column[side] or "-" for side in sides), ", ".join(column["differs"]))


def _contract(schema: Mapping[str, Any]) -> str:
    return f"new columns: {schema['new_columns']} (at most {schema['max_columns']}), types: {schema['types']}"
