"""Stored values of the new types in the one form in which they are compared, wherever they were read."""

import base64
import json
import struct
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from console.verify.values import canonical
from shared.datasets.types import NESTED, WHOLE_BITS, Type

DTYPES: dict[str, Any] = {
    "string": pl.String(),
    "int8": pl.Int8(),
    "int16": pl.Int16(),
    "int32": pl.Int32(),
    "int64": pl.Int64(),
    "float32": pl.Float32(),
    "float64": pl.Float64(),
    "boolean": pl.Boolean(),
    "timestamp": pl.Datetime("us", "UTC"),
    "date": pl.Date(),
    "time": pl.String(),
    "duration": pl.Int64(),
    "uuid": pl.String(),
    "binary": pl.Binary(),
    "json": pl.String(),
    "enum": pl.String(),
}


READ_OTHERWISE = frozenset({"time", "duration", "uuid", "json", *NESTED})
"""Types that the driver of PostgreSQL reads as something else."""


def dtype_of(kind: Type) -> Any:
    """Of the column in which values are compared: what is nested is compared as a text."""
    if kind.name in NESTED:
        return pl.String()
    return pl.Decimal(kind.precision, kind.scale) if kind.name == "decimal" else DTYPES[kind.name]


def written_dtype_of(kind: Type) -> Any:
    """Of the column in Parquet."""
    if kind.item is not None:
        return pl.List(written_dtype_of(kind.item))
    if kind.fields:
        return pl.Struct({name: written_dtype_of(inner) for name, inner in kind.fields})
    return dtype_of(kind)


def series_of(name: str, kind: Type, values: Iterable[Any]) -> pl.Series:
    """Values as `values.read` gives them."""
    if kind.name in NESTED:
        values = [None if value is None else spelt(kind, value) for value in values]
    return pl.Series(name, values, dtype_of(kind), strict=True)


def compared(series: pl.Series, kind: Type) -> pl.Series:
    """A column of Parquet."""
    if kind.name not in NESTED:
        return series.cast(dtype_of(kind), strict=False)
    return series_of(series.name, kind, series.to_list())


def made_wider(series: pl.Series, dtype: Any) -> pl.Series:
    """The values in another type, as the table has them since its column has it."""
    if dtype == pl.String() and series.dtype.is_float():
        texts = [None if value is None else repr(float(value)) for value in series.to_list()]
        return pl.Series(series.name, texts, dtype)
    return series.cast(dtype)


def respelt(texts: pl.Series, kind: str) -> pl.Series:
    """Texts of floats of the type, each as `made_wider` writes it; what is no such text stays."""
    found = [None if text is None else _respelt(text, kind) for text in texts.to_list()]
    return pl.Series(texts.name, found, pl.String())


def _respelt(text: str, kind: str) -> str:
    try:
        return repr(float(text) if kind == "float64" else _single(Decimal(text)))
    except (ValueError, ArithmeticError):
        return text


def of_driver(kind: Type, value: Any, encoding: str) -> Any:
    """A value of PostgreSQL, as `values.read` gives it. `encoding`: of bytes in a document."""
    if value is None:
        return None
    if kind.postgres == "jsonb":
        return _of_document(kind, json.loads(value, parse_int=Decimal, parse_float=Decimal), encoding)
    if kind.item is not None:
        return [of_driver(kind.item, item, encoding) for item in value]
    return _DRIVEN[kind.name](value) if kind.name in _DRIVEN else value


def _of_document(kind: Type, value: Any, encoding: str) -> Any:
    """A value of a document in PostgreSQL."""
    if kind.name == "json":
        return canonical(value)
    if value is None:
        return None
    if kind.item is not None:
        return [None if item is None else _of_document(kind.item, item, encoding) for item in value]
    if kind.fields:
        return {
            name: None if value.get(name) is None else _of_document(inner, value[name], encoding)
            for name, inner in kind.fields
        }
    if kind.name == "binary":
        return bytes.fromhex(value) if encoding == "hex" else base64.b64decode(value)
    return _IN_DOCUMENTS[kind.name](value) if kind.name in _IN_DOCUMENTS else value


def spelt(kind: Type, value: Any) -> str:
    """One text for each nested value."""
    return canonical(_plain(kind, value))


def _plain(kind: Type, value: Any) -> Any:
    if value is None:
        return None
    if kind.item is not None:
        return [_plain(kind.item, item) for item in value]
    if kind.fields:
        return {name: _plain(inner, value[name]) for name, inner in kind.fields}
    return next((to_plain(value) for known, to_plain in _PLAIN if isinstance(value, known)), value)


def _micros(length: timedelta) -> int:
    return (length.days * 86_400 + length.seconds) * 10**6 + length.microseconds


def _single(number: Decimal) -> float:
    value: float = struct.unpack("f", struct.pack("f", float(number)))[0]
    return value


_DRIVEN: dict[str, Callable[[Any], Any]] = {
    "time": lambda value: value.isoformat("microseconds"),
    "duration": _micros,
    "uuid": str,
}
_IN_DOCUMENTS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(WHOLE_BITS, int),
    "float32": _single,
    "float64": float,
    "duration": lambda seconds: int(seconds.scaleb(6)),
    "timestamp": datetime.fromisoformat,
    "date": date.fromisoformat,
}
_PLAIN: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (datetime, lambda value: value.astimezone(UTC).isoformat()),
    (date, date.isoformat),
    (float, Decimal),
    (bytes, lambda value: base64.b64encode(value).decode()),
)
