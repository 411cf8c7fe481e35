"""Texts in cells of Excel, and what becomes of those that are longer than a cell."""

from collections.abc import Callable

import polars as pl

from services.converter.formats.values import as_cell_texts, times_as_texts
from shared.datasets.exports import XlsxOptions
from shared.errors import PermanentError
from shared.reasons import Reason

CELL_UNITS = 32_767
"""Of UTF-16, as Excel counts characters."""


def text_cells(options: XlsxOptions) -> Callable[[pl.Series], pl.Series]:
    """What makes a column's cells texts. It cuts a text that is longer than a cell, or raises `PermanentError`."""
    too_long = _cut if options.long_texts == "cut" else _refuse
    return lambda values: _bounded(_texts(values), too_long)


def _texts(values: pl.Series) -> pl.Series:
    if isinstance(values.dtype, pl.String):
        return values
    return times_as_texts(as_cell_texts(values.to_frame())).to_series().cast(pl.String)


def _bounded(values: pl.Series, too_long: Callable[[pl.Series], pl.Series]) -> pl.Series:
    suspect = values.str.len_chars() * 2 > CELL_UNITS  # a character has at most two units
    if not suspect.any():
        return values
    longer = pl.Series([_units(text) > CELL_UNITS for text in values.filter(suspect)])
    return too_long(values) if longer.any() else values


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _refuse(values: pl.Series) -> pl.Series:
    longest = max(map(_units, values.drop_nulls()))
    raise PermanentError(
        Reason.SCHEMA,
        f"column {values.name}: a text has {longest:,} characters, and a cell of Excel holds {CELL_UNITS:,}; "
        "`exports: {xlsx: {long_texts: cut}}` cuts it",
    )


def _cut(values: pl.Series) -> pl.Series:
    return pl.Series(values.name, [None if text is None else _cut_text(text) for text in values], pl.String)


def _cut_text(text: str) -> str:
    return text.encode("utf-16-le")[: 2 * CELL_UNITS].decode("utf-16-le", "ignore")
