"""How the values of a column become cells of Excel: a number, a boolean or a text.

A cell holds a double, of which people see 15 digits, and times as days since 1900 in milliseconds. A column with a value
that would not survive that is written as text, in all its rows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from services.converter.formats.base import Rows
from services.converter.formats.cell_texts import text_cells
from services.converter.formats.cell_times import time_of
from services.converter.formats.text import frame_of
from shared.datasets.exports import XlsxOptions

DIGITS = 15
SMALLEST_NORMAL = 2.2250738585072014e-308
"""Excel takes what is nearer to zero for zero."""

Fits = Callable[[pl.Series], bool]
"""Whether all values survive as numbers."""


@dataclass(frozen=True, slots=True)
class Column:
    """How a column is written."""

    name: str
    cells: Callable[[pl.Series], pl.Series]
    style: str | None = None
    """Of its numbers, in Excel's own words."""
    is_time: bool = False


def plan_columns(rows: Rows, options: XlsxOptions) -> list[Column]:
    """How each column is written. The rows are read once, unless every type fits whatever its values are."""
    plans = {name: _as_numbers(name, dtype, options) for name, dtype in _schema(rows).items()}
    doubtful = {name: plan.fits for name, plan in plans.items() if plan is not None and plan.fits is not None}
    failed: set[str] = set()
    for piece in rows.pieces() if doubtful else ():
        frame = frame_of(piece.select(list(doubtful)))
        failed |= {name for name, fits in doubtful.items() if name not in failed and not fits(frame[name])}
    return [
        Column(name, text_cells(options)) if plan is None or name in failed else plan.column
        for name, plan in plans.items()
    ]


@dataclass(frozen=True, slots=True)
class _Numbers:
    column: Column
    fits: Fits | None = None
    """None: every value of the type fits."""


def _schema(rows: Rows) -> pl.Schema:
    return frame_of(rows.schema.empty_table()).schema


def _as_numbers(name: str, dtype: pl.DataType, options: XlsxOptions) -> _Numbers | None:
    """The column as numbers or booleans; None for what is text in any case."""
    if isinstance(dtype, pl.Boolean):
        return _Numbers(Column(name, _as_they_are))
    if dtype.is_integer():
        return _Numbers(Column(name, _as_they_are), _few_digits)
    if dtype.is_float():
        return _Numbers(Column(name, _shortest if isinstance(dtype, pl.Float32) else _as_they_are), _plain)
    if isinstance(dtype, pl.Decimal):
        style = "0." + "0" * dtype.scale if dtype.scale else "0"
        return _Numbers(Column(name, _shortest, style), _few_decimal_digits)
    if (time := time_of(dtype)) is not None:
        fits = time.is_exact if options.times == "exact" else time.is_in_range
        return _Numbers(Column(name, time.cells, time.style, is_time=True), fits)
    return None


def _as_they_are(values: pl.Series) -> pl.Series:
    return values


def _shortest(values: pl.Series) -> pl.Series:
    """The doubles that read like the values: 0.1 of 32 bits is 0.1."""
    return values.cast(pl.String).cast(pl.Float64)


def _few_digits(values: pl.Series) -> bool:
    most = 10**DIGITS - 1
    return values.cast(pl.Int64).is_between(-most, most).all()


def _few_decimal_digits(values: pl.Series) -> bool:
    digits = values.cast(pl.String).str.replace_all("[-.]", "").str.strip_chars_start("0")
    return (digits.str.len_chars() <= DIGITS).all()


def _plain(values: pl.Series) -> bool:
    return (values.is_finite() & ((values.abs() >= SMALLEST_NORMAL) | (values == 0))).all()
