"""What can be told of a transform before any row is there. No step runs, and no code of a function does."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from shared.datasets.arrow import data_schema
from shared.datasets.model import Dataset
from shared.datasets.transform import BATCH, POSITION, Mask, Step
from shared.transforms.frames import position_field
from shared.transforms.locked import locked_connection
from shared.transforms.python_code import CodeError, find_code, module_file
from shared.transforms.sql_rules import PARSER_BYTES, fault_in

Types = dict[str, str]
"""Columns of the batch between two steps, with DuckDB's names of their types."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`at` leads to the field of the dataset file."""

    at: tuple[str | int, ...]
    reason: str


class _Unknown(Exception):  # noqa: N818 - nothing failed
    """From here on the columns are not known before the step has run."""


def with_code(dataset: Dataset, folder: Path | None) -> tuple[Dataset, list[Fault]]:
    """The dataset with the code of its functions, which lies in `folder` or is installed."""
    steps, faults = [], []
    for place, step in enumerate(dataset.transform):
        if step.code is not None:
            faults.append(Fault(("transform", place, "code"), "the pipeline writes it: leave it away"))
        elif step.python is not None:
            try:
                code = find_code(folder, step.python)
            except CodeError as error:
                faults.append(Fault(("transform", place, "python"), str(error)))
            else:
                step = step.model_copy(update={"code": code})  # noqa: PLW2901 - the same step with its code
        steps.append(step)
    return dataset.model_copy(update={"transform": tuple(steps)}), faults


def files_of(dataset: Dataset, folder: Path) -> tuple[Path, ...]:
    """Files beside the dataset file that its functions come from, or would come from."""
    modules = [step.python.partition(":")[0] for step in dataset.transform if step.python is not None]
    found = [module_file(folder, module) for module in modules]
    return tuple(file for file in found if file is not None)


def faults_of(dataset: Dataset) -> Iterator[Fault]:
    """What is wrong with statements, and with columns as far as they are known without a row."""
    types = _read_types(dataset)
    yield from _null_keys(dataset)
    try:
        for place, step in enumerate(dataset.transform):
            if step.sql is not None and (reason := fault_in(step.sql)) is not None:
                yield Fault(("transform", place, "sql"), reason)
                return
            try:
                types = _after(step, types)
            except _StepFault as fault:
                yield Fault(("transform", place, *fault.at), fault.reason)
                return
    except _Unknown:
        return
    if missing := [column.name for column in dataset.columns if column.name not in types]:
        reason = f"its result has no column {', '.join(missing)}: there are {', '.join(list(types)[:20])}"
        yield Fault(("transform",), reason)


def _null_keys(dataset: Dataset) -> Iterator[Fault]:
    """Masks that leave no row its key: only a statement or a function behind them could give it back."""
    for place, step in enumerate(dataset.transform):
        if any(later.sql is not None or later.python is not None for later in dataset.transform[place:]):
            continue
        for mask in step.mask or ():
            if mask.how == "null" and mask.column in dataset.key:
                reason = (
                    f"{mask.column} is in the key, and a row without its key is rejected: hash it instead"
                )
                yield Fault(("transform", place, "mask", mask.column), reason)


def _read_types(dataset: Dataset) -> Types:
    schema = data_schema(dataset.as_read()).append(position_field())
    with locked_connection(PARSER_BYTES) as connection:
        connection.register(BATCH, schema.empty_table())
        return _types_of(connection.table(BATCH))


def _types_of(rows: duckdb.DuckDBPyRelation) -> Types:
    return {name: str(kind) for name, kind in zip(rows.columns, rows.types, strict=True)}


class _StepFault(Exception):  # noqa: N818 - a fault of the file
    def __init__(self, reason: str, *at: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.at = at


def _after(step: Step, types: Types) -> Types:
    if step.sql is not None:
        return _after_sql(step.sql, types)
    if step.explode is not None:
        return _after_explode(step.explode, types)
    if step.mask is not None:
        return _after_mask(step.mask, types)
    raise _Unknown


def _after_sql(sql: str, types: Types) -> Types:
    """The statement is bound to an empty table of these columns, and not run."""
    columns = ", ".join(f"{_quoted(name)} {kind}" for name, kind in types.items())
    with locked_connection(PARSER_BYTES) as connection:
        connection.execute(f"CREATE TABLE {BATCH} ({columns})")
        try:
            rows = connection.sql(sql)
        except duckdb.Error as error:
            raise _StepFault(str(error).partition("\n\n")[0], "sql") from error
        found = _types_of(rows)
    if POSITION not in found:
        raise _StepFault(
            f"its rows have no {POSITION}: select it too, or *, so that each row has its line", "sql"
        )
    return found


def _after_explode(column: str, types: Types) -> Types:
    kind = types.get(column)
    if kind is None:
        raise _StepFault(f"there is no column {column}: there are {', '.join(list(types)[:20])}", "explode")
    if not kind.endswith("]"):
        raise _StepFault(f"{column} is {kind}, a list is expected", "explode")
    return {**types, column: kind[: kind.rindex("[")]}


def _after_mask(masks: tuple[Mask, ...], types: Types) -> Types:
    for mask in masks:
        if mask.column not in types or mask.column == POSITION:
            reason = f"there is no column {mask.column}: there are {', '.join(list(types)[:20])}"
            raise _StepFault(reason, "mask", mask.column)
    hashed = {mask.column: "VARCHAR" for mask in masks if mask.how == "hash"}
    return {**types, **hashed}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
