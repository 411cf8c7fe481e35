"""`onpoint datasets check` and `describe`: whether transforms can work, and what becomes of each column."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from console.cli import environment
from console.cli.errors import CommandError, WrongUseError
from console.formatting import did_you_mean

if TYPE_CHECKING:
    from shared.datasets.catalog import Catalog
    from shared.datasets.column import Column
    from shared.datasets.model import Dataset

NO_SECRET = b"no rows, no hash"
"""The secret is the processor's: here the file is checked, on no rows."""


def check(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The datasets that are good, and a line for each fault: file, line and reason."""
    files = [name for name in names if name.endswith((".yaml", ".yml"))]
    if files:
        names = [name for name in names if name not in files]
        of_files, wrong = _check_files(files)
        if not names:
            return of_files, wrong
        named, wrong_named = check(names)
        return [*of_files, *named], [*wrong, *wrong_named]
    catalog = environment.catalog()
    for name in names:
        if name not in catalog and catalog.why_refused(name) is None:
            raise WrongUseError(f"there is no dataset {name}{did_you_mean(name, catalog)}")
    faults = [
        mistake
        for refused in catalog.refused
        if not names or refused.name in names
        for mistake in refused.mistakes()
    ]
    good: list[str] = []
    wanted = [dataset for name, dataset in catalog.items() if not names or name in names]
    for dataset, fault in _dry_runs(wanted, catalog):
        found = fault or _lack(dataset, catalog)
        (good if found is None else faults).append(found or dataset.name)
    return good, faults


def _check_files(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Files that need not be in the folder of the dataset files."""
    import os

    from shared.datasets.catalog import Catalog, RefusedFile, read_file

    good: list[str] = []
    faults: list[str] = []
    for name in names:
        found = read_file(Path(name), os.environ)
        if isinstance(found, RefusedFile):
            faults += found.mistakes()
            continue
        catalog = Catalog({found.dataset.name: found.dataset}, {found.dataset.name: found.path})
        for dataset, fault in _dry_runs([found.dataset], catalog):
            told = fault or _lack(dataset, catalog)
            (good if told is None else faults).append(told or dataset.name)
    return good, faults


def _dry_runs(datasets: Sequence["Dataset"], catalog: "Catalog") -> Iterator[tuple["Dataset", str | None]]:
    """Each dataset with its fault. The process that runs steps is started for the first that has some."""
    if not any(dataset.transform for dataset in datasets):
        yield from ((dataset, None) for dataset in datasets)
        return
    from shared.transforms.apply import Transformer
    from shared.transforms.dry_run import dry_run
    from shared.transforms.errors import SystemLackError

    transformer = Transformer(secret=NO_SECRET)
    with transformer.sandbox:
        for dataset in datasets:
            try:
                fault = dry_run(dataset, transformer) if dataset.transform else None
            except SystemLackError as error:
                raise CommandError(f"{dataset.name} cannot be checked: {error}") from error
            yield dataset, None if fault is None else _told(catalog.files[dataset.name], *fault)


def _lack(dataset: "Dataset", catalog: "Catalog") -> str | None:
    """Where the driver of its table format is not installed here: file, line and what to do."""
    if dataset.lake.table is None:
        return None
    from shared.datasets.document import read_document
    from shared.lake.tables.open import lacking_driver

    if (fault := lacking_driver(dataset)) is None:
        return None
    file = catalog.files[dataset.name]
    _, mark = read_document(file.read_bytes())
    return f"{file}:{mark.at(('lake', 'table'))[0]}: {fault}"


def _told(file: Path, step: int, reason: str) -> str:
    from shared.datasets.document import read_document

    _, mark = read_document(file.read_bytes())
    at: tuple[str | int, ...] = ("transform", step - 1) if step else ("transform",)
    return f"{file}:{mark.at(at)[0]}: transform{f' {step}' if step else ''}: {reason}"


def describe(name: str) -> dict[str, Any]:
    """Each column: its type, where it comes from, what masks it; the inputs and the steps."""
    catalog = environment.catalog()
    dataset = catalog.get(name)
    if dataset is None:
        raise WrongUseError(
            catalog.why_refused(name) or f"there is no dataset {name}{did_you_mean(name, catalog)}"
        )
    masks = {mask.column: mask.written or "null" for step in dataset.transform for mask in step.mask or ()}
    return {
        "name": dataset.name,
        "table": dataset.table,
        "key": list(dataset.key),
        "schema": dataset.contract.model_dump(mode="json"),
        "columns": [
            {
                "name": column.name,
                "type": column.type,
                "from": None if column.computed else _place(column),
                "mask": masks.get(column.name),
            }
            for column in dataset.columns
        ],
        "inputs": [
            {"name": column.name, "type": column.type, "from": column.source_path or column.name}
            for column in dataset.inputs
        ],
        "transform": [
            _step(step.kind, step.model_dump(mode="json", include={step.kind, "frame"}))
            for step in dataset.transform
        ],
    }


def _place(column: "Column") -> str:
    """Where its value is from, of several places all."""
    if column.const is not None:
        return f"the constant {column.const!r}"
    return ", else ".join(column.places)


def _step(kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name == kind or value is not None}


def description(document: Mapping[str, Any]) -> Iterator[str]:
    """For people."""
    yield f"{document['name']}: table {document['table']}, key {', '.join(document['key'])}"
    columns = [*document["columns"], *document["inputs"]]
    width, types = (max(len(column[field]) for column in columns) for field in ("name", "type"))
    for column in document["columns"]:
        source = "computed" if column["from"] is None else f"from {column['from']}"
        mask = f", masked: {column['mask']}" if column["mask"] else ""
        yield f"  {column['name']:<{width}}  {column['type']:<{types}}  {source}{mask}"
    for column in document["inputs"]:
        yield f"  {column['name']:<{width}}  {column['type']:<{types}}  from {column['from']}, not stored"
    schema = document["schema"]
    if schema["new_columns"] != "ignore" or schema["types"] != "strict":
        told = f"new columns: {schema['new_columns']}, types: {schema['types']}"
        yield f"  {told} (`onpoint datasets diff {document['name']}` shows the versions)"
    for number, step in enumerate(document["transform"], 1):
        (kind, value), *_ = step.items()
        shown = (
            ", ".join(f"{name}: {how or 'null'}" for name, how in value.items()) if kind == "mask" else value
        )
        yield f"  transform {number}: {kind} {' '.join(str(shown).split())[:200]}"
