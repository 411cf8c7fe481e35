"""A dataset's columns as the parser needs them, worked out once per process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from services.processor.domain.fields import KnownFields
from services.processor.domain.numbers import Numeral
from services.processor.domain.raw_values import RawValues
from services.processor.domain.readers.reader import Reader, Refusal
from services.processor.domain.readers.registry import reader_of
from shared.datasets.arrow import data_schema
from shared.datasets.column import Column
from shared.datasets.model import Dataset
from shared.datasets.paths import format_path
from shared.datasets.types import Type
from shared.errors import ConfigurationError

Tree = dict[str, "Tree | pa.DataType"]
"""The shape of a record: keys to the type of a value, or to the shape of a nested object."""

RAW = pa.null()
"""Stands in a tree for a value that is needed as it was written: the parser passes over it."""

POSITION = pa.field("_source_position", pa.int64(), nullable=False)


MAX_KEY_BYTES = 2_000
"""Of a key's texts together. An entry of PostgreSQL's index holds 2,704 bytes, and one key that is longer costs its
whole batch; this leaves room for 32 columns' other values and their headers."""


@dataclass(frozen=True, slots=True)
class Target:
    """A column: where its value is in a record, and what it must be."""

    name: str
    path: tuple[str, ...]
    type: Type
    is_key: bool
    reader: Reader
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
    two_forms: tuple[int, ...]
    """Which targets may be numbers or texts in the records."""
    has_decimals: bool
    """Whether the parser makes decimals of a record's numbers."""
    raw: RawValues
    """Of the targets whose values are needed as they were written."""
    is_flat: bool
    """Whether every column is read from a field at the top, as a text, a number that is no decimal, or a boolean."""
    known: KnownFields | None
    """Where a row may not have a field that no column is for: the others."""


def parse_schema_of(dataset: Dataset) -> ParseSchema:
    """Of the rows as they are typed. Raises `ConfigurationError` for a fill value outside its column's range."""
    dataset = dataset.as_read()
    tree: Tree = {}
    targets = tuple(_target(dataset, column) for column in dataset.columns)
    for target in targets:
        graft(tree, target.path, target.reader.forms[0] if target.reader.forms else RAW)
    return ParseSchema(
        targets,
        tree,
        data_schema(dataset).append(POSITION),
        dataset.key,
        _places(targets, lambda target: target.is_key and target.type.name in {"string", "enum"}),
        _places(targets, lambda target: len(target.reader.forms) > 1),
        any(_holds_decimals(form) for target in targets for form in target.reader.forms),
        RawValues({place: target.path for place, target in enumerate(targets) if not target.reader.forms}),
        all(len(target.path) == 1 and _is_plain(target.reader) for target in targets),
        KnownFields(tree) if dataset.contract.new_columns == "reject" else None,
    )


def _target(dataset: Dataset, column: Column) -> Target:
    reader = reader_of(column.value_type, column)
    return Target(
        column.name,
        column.path,
        column.value_type,
        column.name in dataset.key,
        reader,
        _fill(dataset, column),
    )


def _places(targets: Sequence[Target], are_meant: Callable[[Target], bool]) -> tuple[int, ...]:
    return tuple(place for place, target in enumerate(targets) if are_meant(target))


def _is_plain(reader: Reader) -> bool:
    return bool(reader.forms) and all(
        pa.types.is_string(form)
        or pa.types.is_integer(form)
        or pa.types.is_floating(form)
        or pa.types.is_boolean(form)
        for form in reader.forms
    )


def _holds_decimals(kind: pa.DataType) -> bool:
    parts = (kind.field(place).type for place in range(kind.num_fields))
    return pa.types.is_decimal(kind) or any(map(_holds_decimals, parts))


def graft(tree: Tree, path: tuple[str, ...], leaf: pa.DataType) -> None:
    """Puts a leaf into the tree. The path crosses no leaf."""
    for key in path[:-1]:
        child = tree.setdefault(key, {})
        if not isinstance(child, dict):
            raise TypeError(f"{format_path(path)} crosses the value at {key}")
        tree = child
    tree[path[-1]] = _shape(leaf)


def _shape(leaf: pa.DataType) -> "Tree | pa.DataType":
    """The fields of a struct are those of an object, so that others of the object are seen."""
    if not pa.types.is_struct(leaf) or not leaf.num_fields:
        return leaf
    return {field.name: _shape(field.type) for field in leaf}


def tree_schema(tree: Tree) -> pa.Schema:
    return pa.schema(_fields(tree))


def _fields(tree: Tree) -> "list[pa.Field[Any]]":
    return [
        pa.field(name, pa.struct(_fields(child)) if isinstance(child, dict) else child)
        for name, child in tree.items()
        if child != RAW
    ]


def _fill(dataset: Dataset, column: Column) -> Any:
    if column.fill is None:
        return None
    is_number = isinstance(column.fill, int | float) and not isinstance(column.fill, bool)
    plain = reader_of(column.value_type, column.of_fill)
    value = plain.value(Numeral(repr(column.fill)) if is_number else column.fill)
    refusal = f"dataset {dataset.name}: column {column.name}: fill {column.fill!r} is not a {column.type}"
    if isinstance(value, Refusal) or value is None:
        raise ConfigurationError(refusal)
    try:
        return pa.scalar(value, plain.arrow)
    except (ValueError, OverflowError, pa.ArrowException) as error:
        raise ConfigurationError(refusal) from error
