"""Values as text, column by column: what JSON and CSV have no kind of their own for."""

from collections.abc import Callable

import polars as pl
import polars.selectors as cs

from shared.errors import PermanentError
from shared.reasons import Reason

STAMP_FORMAT = "%Y-%m-%dT%H:%M:%S%.6fZ"
LOCAL_STAMP_FORMAT = "%Y-%m-%dT%H:%M:%S%.6f"
DATE_FORMAT = "%Y-%m-%d"
TIME_FORMAT = "%H:%M:%S%.6f"

Change = Callable[[pl.Expr, pl.DataType], pl.Expr | None]
"""What becomes of a value that is no list and no struct; None: it stays."""


def as_json_values(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with every value, also inside lists and structs, as JSON can hold it.

    Dates, times and durations become ISO 8601, binaries base64, decimals texts with all their digits: most readers of
    JSON take a number for a double. Raises `PermanentError` (`schema`) for a float that is no number.
    """
    refuse_no_numbers(frame)
    return frame.with_columns(
        value.alias(name)
        for name, dtype in frame.schema.items()
        if (value := _json_value(pl.col(name), dtype)) is not None
    )


def as_cell_texts(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame without columns that a flat file cannot hold.

    Lists and structs become JSON, durations ISO 8601, binaries base64. Raises `PermanentError` (`schema`) for a float inside
    a list or struct that is no number.
    """
    refuse_no_numbers(frame.select(cs.nested()))
    return frame.with_columns(
        value.alias(name)
        for name, dtype in frame.schema.items()
        if (value := _cell_text(pl.col(name), dtype)) is not None
    )


def times_as_texts(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with dates and times as ISO 8601."""
    return frame.with_columns(
        cs.datetime().dt.strftime(STAMP_FORMAT),
        cs.date().dt.strftime(DATE_FORMAT),
        cs.time().dt.strftime(TIME_FORMAT),
    )


def refuse_no_numbers(frame: pl.DataFrame) -> None:
    """Raises `PermanentError` (`schema`) if a float, also inside lists and structs, is infinite or no number."""
    for column in frame.iter_columns():
        if any(not leaf.drop_nulls().is_finite().all() for leaf in _float_leaves(column)):
            raise PermanentError(
                Reason.SCHEMA,
                f"column {column.name}: a value is NaN or infinite, which JSON has no number for",
            )


def _float_leaves(column: pl.Series) -> list[pl.Series]:
    dtype = column.dtype
    if dtype.is_float():
        return [column]
    if isinstance(dtype, pl.List | pl.Array) and _has_floats(dtype):
        return _float_leaves(column.explode(empty_as_null=False))
    if isinstance(dtype, pl.Struct):
        return [leaf for field in column.struct.fields for leaf in _float_leaves(column.struct.field(field))]
    return []


def _has_floats(dtype: pl.DataType) -> bool:
    if isinstance(dtype, pl.List | pl.Array):
        return _has_floats(_inner(dtype))
    if isinstance(dtype, pl.Struct):
        return any(_has_floats(_type(field.dtype)) for field in dtype.fields)
    return dtype.is_float()


def _cell_text(value: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    if dtype.is_nested():
        return _json_text(value, dtype)
    if isinstance(dtype, pl.Duration | pl.Binary):
        return _json_value(value, dtype)
    return None


def _json_text(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    plain = _json_value(value, dtype)
    wrapped = pl.struct((value if plain is None else plain).alias("v")).struct.json_encode()
    text = wrapped.str.head(-1).str.slice(len('{"v":'))
    return pl.when(value.is_not_null()).then(text)


def _json_value(value: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    """The value as JSON holds it; None where polars writes it so by itself."""
    return changed(value, dtype, _json_leaf)


def _json_leaf(value: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    match dtype:
        case pl.Categorical() | pl.Enum():
            return value.cast(pl.String)
        case pl.Datetime():
            return value.dt.strftime(STAMP_FORMAT if dtype.time_zone else LOCAL_STAMP_FORMAT)
        case pl.Time():
            return value.dt.strftime(TIME_FORMAT)
        case pl.Duration():
            return value.dt.to_string("iso")
        case pl.Binary():
            return value.bin.encode("base64")
        case _:
            return None


def changed(value: pl.Expr, dtype: pl.DataType, change: Change) -> pl.Expr | None:
    """The value with what `change` makes of it, or of all that is inside of its lists and structs; None: it stays."""
    if isinstance(dtype, pl.Struct):
        return _changed_struct(value, dtype, change)
    if isinstance(dtype, pl.List | pl.Array):
        inner = changed(pl.element(), _inner(dtype), change)
        if inner is None:
            return None
        return value.list.eval(inner) if isinstance(dtype, pl.List) else value.arr.eval(inner)
    return change(value, dtype)


def _changed_struct(value: pl.Expr, dtype: pl.Struct, change: Change) -> pl.Expr | None:
    found = {
        field.name: changed(value.struct.field(field.name), _type(field.dtype), change)
        for field in dtype.fields
    }
    if all(field is None for field in found.values()):
        return None
    fields = [
        (value.struct.field(name) if field is None else field).alias(name) for name, field in found.items()
    ]
    return pl.when(value.is_not_null()).then(pl.struct(fields))


def as_hexadecimal(values: pl.Series) -> pl.Series:
    """The column with its bytes, also inside lists and structs, as hexadecimal digits."""
    found = changed(pl.col(values.name), values.dtype, _hexadecimal_leaf)
    return values if found is None else values.to_frame().select(found.alias(values.name)).to_series()


def _hexadecimal_leaf(value: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    return value.bin.encode("hex") if isinstance(dtype, pl.Binary) else None


def _inner(dtype: pl.List | pl.Array) -> pl.DataType:
    return _type(dtype.inner)


def _type(dtype: object) -> pl.DataType:
    """Polars allows a class where an instance is meant."""
    return dtype() if isinstance(dtype, type) else dtype  # type: ignore[return-value]
