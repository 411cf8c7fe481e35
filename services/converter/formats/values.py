"""Values as text, column by column: what JSON and CSV have no kind of their own for."""

import polars as pl
import polars.selectors as cs

from shared.errors import PermanentError
from shared.reasons import Reason

STAMP_FORMAT = "%Y-%m-%dT%H:%M:%S%.6fZ"
LOCAL_STAMP_FORMAT = "%Y-%m-%dT%H:%M:%S%.6f"
DATE_FORMAT = "%Y-%m-%d"
TIME_FORMAT = "%H:%M:%S%.6f"


def as_json_values(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with every value, also inside lists and structs, as JSON can hold it.

    Dates, times and durations become ISO 8601, binaries base64, decimals texts with all their digits.
    Raises `PermanentError` (`schema`) for a float that is no number.
    """
    refuse_no_numbers(frame)
    return frame.with_columns(
        changed.alias(name)
        for name, dtype in frame.schema.items()
        if (changed := _json_value(pl.col(name), dtype)) is not None
    )


def as_cell_texts(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame without columns that a flat file cannot hold.

    Lists and structs become JSON, durations ISO 8601, binaries base64. Raises `PermanentError` (`schema`) for a float inside
    a list or struct that is no number.
    """
    refuse_no_numbers(frame.select(cs.nested()))
    return frame.with_columns(
        changed.alias(name)
        for name, dtype in frame.schema.items()
        if (changed := _cell_text(pl.col(name), dtype)) is not None
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
    if isinstance(dtype, pl.Struct):
        return _json_struct(value, dtype)
    if isinstance(dtype, pl.List | pl.Array):
        return _json_list(value, dtype)
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return value.cast(pl.String)
    return _json_text_of(value, dtype)


def _json_text_of(value: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    match dtype:
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


def _json_list(value: pl.Expr, dtype: pl.List | pl.Array) -> pl.Expr | None:
    inner = _json_value(pl.element(), _inner(dtype))
    if inner is None:
        return None
    return value.list.eval(inner) if isinstance(dtype, pl.List) else value.arr.eval(inner)


def _json_struct(value: pl.Expr, dtype: pl.Struct) -> pl.Expr | None:
    changed = {
        field.name: _json_value(value.struct.field(field.name), _type(field.dtype)) for field in dtype.fields
    }
    if all(field is None for field in changed.values()):
        return None
    fields = [
        (value.struct.field(name) if field is None else field).alias(name) for name, field in changed.items()
    ]
    return pl.when(value.is_not_null()).then(pl.struct(fields))


def _inner(dtype: pl.List | pl.Array) -> pl.DataType:
    return _type(dtype.inner)


def _type(dtype: object) -> pl.DataType:
    """Polars allows a class where an instance is meant."""
    return dtype() if isinstance(dtype, type) else dtype  # type: ignore[return-value]
