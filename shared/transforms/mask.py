"""Masking: what becomes of personal data. Runs in this process, which alone has the secret."""

import hmac
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shared.datasets.transform import POSITION, Mask


class MaskError(Exception):
    """Why a column cannot be masked."""


def mask_schema(schema: pa.Schema, masks: Sequence[Mask]) -> pa.Schema:
    """The columns after masking. Raises `MaskError` for a column that is not there, or of a type that is not taken."""
    for mask in masks:
        place = schema.get_field_index(mask.column)
        if place < 0 or mask.column == POSITION:
            raise MaskError(f"there is no column {mask.column}: there are {', '.join(schema.names)[:300]}")
        found = schema.field(place)
        if mask.how == "hash" and not (_is_text(found.type) or pa.types.is_integer(found.type)):
            raise MaskError(f"{mask.column} is {found.type}: texts and whole numbers can be hashed")
        if mask.how == "truncate" and not _is_text(found.type):
            raise MaskError(f"{mask.column} is {found.type}: only texts can be truncated")
        if mask.how == "hash":
            schema = schema.set(place, pa.field(mask.column, pa.string()))
    return schema


def apply_masks(
    rows: pa.RecordBatch, schema: pa.Schema, masks: Sequence[Mask], secret: bytes
) -> pa.RecordBatch:
    """The rows with their values masked; null stays null. `schema` is that of `mask_schema`."""
    columns = dict(zip(rows.schema.names, rows.columns, strict=True))
    for mask in masks:
        columns[mask.column] = _masked(columns[mask.column], mask, secret)
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=schema)


def _masked(column: "pa.Array[Any]", mask: Mask, secret: bytes) -> "pa.Array[Any]":
    match mask.how:
        case "null":
            nothing: pa.Array[Any] = pa.array([None] * len(column), column.type)
            return nothing
        case "truncate":
            cut: pa.Array[Any] = pc.utf8_slice_codeunits(column, 0, mask.chars)
            return cut
        case _:
            return _hashed(column, secret)


def _hashed(column: "pa.Array[Any]", secret: bytes) -> "pa.Array[Any]":
    """HMAC-SHA-256 of each value's text, in hex. Each distinct value is hashed once."""
    encoded: Any = pc.dictionary_encode(column.cast(pa.string()))
    hashes = [hmac.digest(secret, value.encode(), "sha256").hex() for value in encoded.dictionary.to_pylist()]
    hashed: pa.Array[Any] = pa.array(hashes, pa.string()).take(encoded.indices)
    return hashed


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
