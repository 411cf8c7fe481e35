"""What the values of a column are like, in memory that does not grow with their number.

Sketches of parts of a table can be merged into one of the whole. Pure.
"""

from dataclasses import dataclass, field
from typing import Any

import polars as pl

KEPT = 4096
"""Hashes and rows kept of a column. Up to that many, counts and quantiles are exact; above, they are about 2 % off."""

TEXT_CHARS = 200
"""Of a text, in what is kept: the least, the most and the examples."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

EXAMPLES = 3

_HASHES = 2.0**64


def _no_hashes() -> pl.Series:
    return pl.Series("hash", [], dtype=pl.UInt64)


@dataclass(slots=True)
class ColumnSketch:
    """Of one column. `type` is its name in Arrow."""

    name: str
    type: str
    rows: int = 0
    nulls: int = 0
    least: Any = None
    most: Any = None
    hashes: pl.Series = field(default_factory=_no_hashes)
    """The smallest hashes of its values."""
    sample: pl.DataFrame | None = None
    """The values of the rows with the smallest priorities."""

    def add(self, values: pl.Series, priorities: pl.Series) -> None:
        """`priorities` are random numbers, one for each row and the same for every column of it."""
        self.rows += len(values)
        self.nulls += values.null_count()
        there = pl.DataFrame({"priority": priorities, "value": _kept_form(values)}).drop_nulls("value")
        if not there.is_empty():
            self._keep(there, _hashes_of(values.drop_nulls()))
            if _is_ordered(values.dtype):
                self._widen(there["value"])

    def merge(self, other: "ColumnSketch") -> None:
        """Of the same column."""
        self.rows += other.rows
        self.nulls += other.nulls
        if other.sample is not None:
            self._keep(other.sample, other.hashes)
        for value in (other.least, other.most):
            if value is not None:
                self._widen(pl.Series([value]))

    def distinct(self) -> int | None:
        """The number of its values, exact below `KEPT`. None: values of this type are not compared."""
        kept = len(self.hashes)
        if self.rows > self.nulls and not kept:
            return None
        if kept < KEPT:
            return kept
        return round((kept - 1) / (int(self.hashes[-1]) / _HASHES))

    @property
    def distinct_is_exact(self) -> bool:
        return len(self.hashes) < KEPT

    def quantiles(self) -> dict[float, Any]:
        """The values at `QUANTILES`, of numbers and times; exact for at most `KEPT` rows."""
        if self.sample is None or not _is_measured(self.sample["value"].dtype):
            return {}
        values = _real(self.sample["value"]).sort()
        return {share: values[round(share * (len(values) - 1))] for share in QUANTILES} if len(values) else {}

    def examples(self) -> list[Any]:
        """Some of its values, by chance."""
        if self.sample is None:
            return []
        return self.sample["value"].head(EXAMPLES * 10).unique(maintain_order=True).head(EXAMPLES).to_list()

    def _keep(self, rows: pl.DataFrame, hashes: pl.Series) -> None:
        self.hashes = pl.concat([self.hashes, hashes]).unique().sort().head(KEPT)
        known = rows if self.sample is None else pl.concat([self.sample, rows])
        self.sample = known.sort("priority").head(KEPT)

    def _widen(self, values: pl.Series) -> None:
        real = _real(values)
        if len(real):
            least, most = real.min(), real.max()
            self.least = least if self.least is None else min(self.least, least)
            self.most = most if self.most is None else max(self.most, most)


def _kept_form(values: pl.Series) -> pl.Series:
    """Texts cut, and what has parts or is no text as a text that shows it."""
    if values.dtype == pl.String:
        return values.str.slice(0, TEXT_CHARS)
    if values.dtype == pl.Binary:
        return values.bin.slice(0, TEXT_CHARS // 2).bin.encode("hex")
    if values.dtype.is_nested():
        shown = [None if value is None else str(value)[:TEXT_CHARS] for value in values.to_list()]
        return pl.Series(values.name, shown, dtype=pl.String)
    return values


def _hashes_of(values: pl.Series) -> pl.Series:
    if values.dtype.is_nested():
        return _no_hashes()
    return values.unique().hash().rename("hash")


def _is_ordered(dtype: pl.DataType) -> bool:
    return not dtype.is_nested() and dtype != pl.Binary


def _is_measured(dtype: pl.DataType) -> bool:
    return dtype.is_numeric() or dtype.is_temporal()


def _real(values: pl.Series) -> pl.Series:
    """Without NaN, which has no place in an order."""
    return values.drop_nans() if values.dtype.is_float() else values
