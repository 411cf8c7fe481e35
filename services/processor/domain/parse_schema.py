"""A dataset's columns as the parser needs them, worked out once per process."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from services.processor.domain.times import to_date, to_timestamp
from shared.datasets.arrow import ARROW_TYPE, PARSED_TYPE, data_schema
from shared.datasets.model import Column, ColumnType, Dataset
from shared.datasets.paths import format_path
from shared.errors import ConfigurationError
from shared.reasons import Reason

Tree = dict[str, "Tree | pa.DataType"]
"""The shape of a record: keys to the type of a value, or to the shape of a nested object."""

POSITION = pa.field("_source_position", pa.int64(), nullable=False)


MAX_KEY_BYTES = 2_000
"""Of a key's texts together. An entry of PostgreSQL's index holds 2,704 bytes, and one key that is longer costs its
whole batch; this leaves room for 32 columns' other values and their headers."""


@dataclass(frozen=True, slots=True)
class Target:
    """A column: where its value is in a record, and what it must be."""

    name: str
    path: tuple[str, ...]
    type: ColumnType
    is_key: bool
    rounds: bool
    """What it does with a number that it cannot hold as it is, instead of refusing it."""
    fill: Any
    """An Arrow scalar that replaces null, or None."""


@dataclass(frozen=True, slots=True)
class ParseSchema:
    targets: tuple[Target, ...]
    tree: Tree
    """The named paths only."""
    schema: pa.Schema
    """Of the accepted rows: the dataset's columns, then the position."""
    key: tuple[str, ...]
    key_texts: tuple[int, ...]
    """Which targets are the key's texts."""


def parse_schema_of(dataset: Dataset) -> ParseSchema:
    """Of the rows as they are typed. Raises `ConfigurationError` for a fill value outside its column's range."""
    dataset = dataset.as_read()
    tree: Tree = {}
    for column in dataset.columns:
        graft(tree, column.path, PARSED_TYPE[column.type])
    targets = tuple(
        Target(
            column.name,
            column.path,
            column.type,
            column.name in dataset.key,
            column.rounds,
            _fill(dataset, column),
        )
        for column in dataset.columns
    )
    key_texts = tuple(
        place for place, target in enumerate(targets) if target.is_key and target.type == "string"
    )
    return ParseSchema(targets, tree, data_schema(dataset).append(POSITION), dataset.key, key_texts)


def graft(tree: Tree, path: tuple[str, ...], leaf: pa.DataType) -> None:
    """Puts a leaf into the tree. The path crosses no leaf."""
    for key in path[:-1]:
        child = tree.setdefault(key, {})
        if not isinstance(child, dict):
            raise TypeError(f"{format_path(path)} crosses the value at {key}")
        tree = child
    tree[path[-1]] = leaf


def tree_schema(tree: Tree) -> pa.Schema:
    return pa.schema(_fields(tree))


def _fields(tree: Tree) -> "list[pa.Field[Any]]":
    return [
        pa.field(name, pa.struct(_fields(child)) if isinstance(child, dict) else child)
        for name, child in tree.items()
    ]


def _fill(dataset: Dataset, column: Column) -> Any:
    if column.fill is None:
        return None
    value: Any = column.fill
    if column.type == "timestamp":
        value = to_timestamp(value)
    elif column.type == "date":
        value = to_date(value)
    refusal = f"dataset {dataset.name}: column {column.name}: fill {column.fill!r} is not a {column.type}"
    if isinstance(value, Reason) or (isinstance(value, str) and "\0" in value):
        raise ConfigurationError(refusal)
    try:
        return pa.scalar(value, ARROW_TYPE[column.type])
    except (ValueError, OverflowError, pa.ArrowException) as error:
        raise ConfigurationError(refusal) from error
