"""The versions of a dataset's columns. Version 1 is the file; each later one has all columns of the one before. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Annotated

from pydantic import AwareDatetime, Field

from shared.datasets.column import Column
from shared.datasets.fields import Model, Name, Whole
from shared.datasets.model import Dataset
from shared.datasets.naming import column_name
from shared.datasets.paths import format_path
from shared.datasets.seen import Seen, holds, type_for, widened
from shared.datasets.types import FLOATS, WHOLE_BITS, WIDER, Type
from shared.datasets.width import ROW_BYTES, full_row_bytes
from shared.events.ids import BATCH_ID_PATTERN, RUN_ID_PATTERN

FILE = 1
"""The version that is the file itself."""

MAX_COLUMNS = 1500

DATASETS_CACHED = 256
"""With the columns of a version. One of 1,500 columns takes two megabytes, one of ten twenty kilobytes."""


class ColumnsVersion(Model):
    """An object of staging that never changes. It is applied to the file of a run, whatever that was then."""

    version: Annotated[Whole, Field(ge=2)]
    dataset: Name
    added: tuple[Column, ...] = ()
    """Every column that was added up to this version, in the order in which they were."""
    widened: tuple[Column, ...] = ()
    """Columns of the file that were made wider up to this version."""
    run_id: Annotated[str, Field(pattern=f"^{RUN_ID_PATTERN}$")]
    batch_id: Annotated[str, Field(pattern=f"^{BATCH_ID_PATTERN}$")]
    """Whose records made it necessary."""
    made_at: AwareDatetime


@dataclass(frozen=True, slots=True)
class Cause:
    run_id: str
    batch_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Settled:
    """The columns that a batch needs."""

    version: ColumnsVersion | None
    """None: those of the file."""
    is_new: bool
    """Whether the version has yet to be stored."""
    ignored: Mapping[str, str]
    """Fields that no column is made for, and why."""


@lru_cache(maxsize=DATASETS_CACHED)
def columns_at(dataset: Dataset, version: ColumnsVersion | None, *, in_table: bool = False) -> Dataset:
    """The dataset of the file with the columns of a version.

    A column that the file has come to name itself is as in the file. What is above a bound of the file is left out.
    `in_table`: as the table has them, where the file of another run may have let columns become wider.
    """
    if version is None or dataset.contract.is_fixed:
        return dataset
    own = _own(dataset, version) if in_table or dataset.contract.types == "widen" else list(dataset.columns)
    names = {column.name for column in dataset.columns} | {column.name for column in dataset.inputs}
    fields = {column.path[0] for column in dataset.read_columns}
    added: list[Column] = []
    room = MAX_COLUMNS - len(own)
    for column in version.added if dataset.contract.new_columns == "evolve" else ():
        if column.name in names or column.path[0] in fields:
            continue
        if len(added) < min(room, dataset.contract.max_columns) and _has_room([*own, *added, column]):
            added.append(column)
    return dataset.with_columns(own, added)


def _own(dataset: Dataset, version: ColumnsVersion) -> list[Column]:
    """A wider column stands for the file's where that would not hold its values."""
    wider = {column.name: column for column in version.widened}
    return [
        wider[column.name]
        if column.name in wider
        and column.name not in dataset.key
        and is_wider(column.value_type, wider[column.name])
        else column
        for column in dataset.columns
    ]


def is_wider(kind: Type, column: Column) -> bool:
    """Whether the column holds all values of the type, and more."""
    if column.from_any:
        return kind.name in {*WHOLE_BITS, *FLOATS, "boolean", "string"}
    return column.type in WIDER.get(kind.name, ())


def _has_room(columns: Sequence[Column]) -> bool:
    return full_row_bytes([column.value_type for column in columns]) <= ROW_BYTES


def settle(
    dataset: Dataset, chain: Sequence[ColumnsVersion], fields: Mapping[str, Seen], cause: Cause
) -> Settled:
    """The first version of the chain that has a column for each field, and holds its values where columns may widen.

    `fields`: those at the top of the batch's records that have a value. Where no version is enough, the next one.
    The same batch is settled at the same version, whatever came to the chain since: a version never takes away.
    """
    last = chain[-1] if chain else None
    draft, ignored = _next(dataset, last, fields, cause)
    if draft is not None:
        return Settled(draft, is_new=True, ignored=ignored)
    wanted = set(fields) - set(ignored)
    first = next(
        (version for version in (None, *chain) if _is_enough(columns_at(dataset, version), wanted, fields)),
        last,
    )
    return Settled(first, is_new=False, ignored=ignored)


def _is_enough(dataset: Dataset, wanted: set[str], fields: Mapping[str, Seen]) -> bool:
    by_field = _by_field(dataset)
    if dataset.contract.new_columns == "evolve" and wanted - by_field.keys():
        return False
    return not _narrow(dataset, by_field, fields)


def _by_field(dataset: Dataset) -> dict[str, Column]:
    return {column.path[0]: column for column in dataset.read_columns}


def _narrow(dataset: Dataset, by_field: Mapping[str, Column], fields: Mapping[str, Seen]) -> list[str]:
    """Fields whose column has to become wider."""
    if dataset.contract.types == "strict":
        return []
    return [
        name
        for name, seen in fields.items()
        if name in by_field and by_field[name].name not in dataset.key and not holds(by_field[name], seen)
    ]


def _next(
    dataset: Dataset, last: ColumnsVersion | None, fields: Mapping[str, Seen], cause: Cause
) -> tuple[ColumnsVersion | None, dict[str, str]]:
    """The version after the last that has what the fields need; None where the last has it."""
    draft = last or ColumnsVersion(
        version=FILE + 1, dataset=dataset.name, run_id=cause.run_id, batch_id=cause.batch_id, made_at=cause.at
    )
    now = columns_at(dataset, last)
    by_field = _by_field(now)
    wider = [widened(by_field[name], fields[name]) for name in _narrow(now, by_field, fields)]
    draft = _with_wider(draft, dataset, wider)
    ignored: dict[str, str] = {}
    is_new = bool(wider)
    for name, seen in fields.items():
        if name in by_field or dataset.contract.new_columns != "evolve":
            continue
        longer = _with_field(dataset, draft, name, seen)
        if isinstance(longer, str):
            ignored[name] = longer
        else:
            draft, is_new = longer, True
    if not is_new:
        return None, ignored
    number = FILE + 1 if last is None else last.version + 1
    made = {"version": number, "run_id": cause.run_id, "batch_id": cause.batch_id, "made_at": cause.at}
    return draft.model_copy(update=made), ignored


def _with_wider(draft: ColumnsVersion, dataset: Dataset, wider: Sequence[Column]) -> ColumnsVersion:
    if not wider:
        return draft
    by_name = {column.name: column for column in wider}
    file_names = {column.name for column in dataset.columns}
    own = {column.name: column for column in draft.widened}
    own |= {name: column for name, column in by_name.items() if name in file_names}
    added = tuple(
        by_name[column.name] if column.name in by_name and column.name not in file_names else column
        for column in draft.added
    )
    return draft.model_copy(update={"added": added, "widened": tuple(own.values())})


def _with_field(dataset: Dataset, draft: ColumnsVersion, field: str, seen: Seen) -> ColumnsVersion | str:
    """The version with one more column, or why there cannot be one."""
    name = column_name(field)
    if name is None:
        return "its name makes no name of a column"
    taken = {column.name for column in (*dataset.columns, *dataset.inputs, *draft.added)}
    if name in taken:
        return f"the column {name} is for another field"
    document = {"name": name, "type": type_for(seen, may_widen=dataset.contract.types == "widen")}
    if name != field:
        document["from"] = format_path((field,))
    longer = draft.model_copy(update={"added": (*draft.added, Column.model_validate(document))})
    if name not in {column.name for column in columns_at(dataset, longer).columns}:
        return f"there is no room for more columns (max_columns: {dataset.contract.max_columns})"
    return longer
