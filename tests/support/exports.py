"""Export files of Arrow tables, and tables that hold every kind of value."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from hypothesis import strategies as st

from services.converter.formats.base import Rows
from services.converter.formats.registry import FORMATS
from shared.datasets.exports import Exports
from shared.events.names import Format

UTC_TIMES = pa.timestamp("us", tz="UTC")


def rows_of(table: pa.Table, pieces: int = 1) -> Rows:
    """The table's rows in a number of pieces."""
    size = max(1, -(-table.num_rows // pieces))
    cut = [table.slice(start, size) for start in range(0, table.num_rows, size)]
    return Rows(table.schema, table.num_rows, lambda: cut)


def write(
    name: Format,
    table: pa.Table,
    folder: Path,
    options: dict[str, Any] | None = None,
    pieces: int = 1,
) -> Path:
    """The file of the format, written with the options that a dataset file would have under its name."""
    exports = Exports.model_validate({name: options or {}})
    export = FORMATS[name]
    target = folder / f"export.{export.extension(exports)}"
    export.write(rows_of(table, pieces), exports, target)
    return target


def queried(sql: str) -> pa.Table:
    """What duckdb answers. It loads nothing from anywhere, so its times are in UTC."""
    offline: dict[str, str | bool | int | float | list[str]] = {
        f"auto{what}_known_extensions": False for what in ("install", "load")
    }
    with duckdb.connect(config=offline) as connection:
        found = connection.sql(sql)
        assert found is not None
        table: pa.Table = found.to_arrow_table()
        return table


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
INSIDE = st.integers(-(2**31), 2**31 - 1)

_VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int8(): st.integers(-(2**7), 2**7 - 1),
    pa.int16(): st.integers(-(2**15), 2**15 - 1),
    pa.int32(): INSIDE,
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float32(): st.floats(allow_nan=False, allow_infinity=False, width=32),
    pa.float64(): st.floats(allow_nan=False, allow_infinity=False),
    pa.decimal128(12, 2): st.decimals(-(10**9), 10**9, places=2),
    pa.decimal128(38, 10): st.integers(-(10**38) + 1, 10**38 - 1).map(
        lambda digits: Decimal((int(digits < 0), tuple(map(int, str(abs(digits)))), -10))
    ),
    pa.bool_(): st.booleans(),
    pa.string(): TEXTS,
    pa.date32(): st.dates(),
    pa.time64("us"): st.times(),
    UTC_TIMES: st.datetimes(timezones=st.just(dt.UTC)),
    pa.duration("us"): st.timedeltas(dt.timedelta(days=-99_999), dt.timedelta(days=99_999)),
    pa.binary(): st.binary(max_size=12),
    pa.binary(16): st.binary(min_size=16, max_size=16),
}
"""A strategy for the values of each type that a column may have."""

NESTED: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.list_(pa.int64()): st.lists(st.none() | INSIDE, max_size=3),
    pa.list_(pa.string()): st.lists(st.none() | TEXTS, max_size=3),
    pa.struct([("n", pa.int64()), ("t", pa.string())]): st.fixed_dictionaries(
        {"n": st.none() | INSIDE, "t": st.none() | TEXTS}
    ),
    pa.list_(pa.struct([("d", pa.date32()), ("p", pa.decimal128(8, 2))])): st.lists(
        st.fixed_dictionaries(
            {"d": st.none() | st.dates(), "p": st.none() | st.decimals(-999, 999, places=2)}
        ),
        max_size=3,
    ),
}


@st.composite
def tables(draw: st.DrawFn, *, nested: bool = True, max_rows: int = 8) -> pa.Table:
    """Tables with a column of each type, nulls among the values."""
    rows = draw(st.integers(0, max_rows))
    kinds = {**_VALUES, **(NESTED if nested else {})}
    return pa.table(
        {
            f"c{place}_{_name(kind)}": pa.array(
                draw(st.lists(st.none() | values, min_size=rows, max_size=rows)), kind
            )
            for place, (kind, values) in enumerate(kinds.items())
        }
    )


def _name(kind: pa.DataType) -> str:
    return str(kind).partition("[")[0].partition("<")[0].partition("(")[0]


def column_of(value: Any, kind: pa.DataType, rows: int = 1) -> pa.Table:
    return pa.table({"id": pa.array(range(rows), pa.int64()), "value": pa.array([value] * rows, kind)})


def texts_table(texts: Sequence[str | None]) -> pa.Table:
    return pa.table({"id": pa.array(range(len(texts)), pa.int64()), "name": pa.array(texts, pa.string())})


def as_text(value: Any) -> Any:
    """A value as JSON and CSV have it."""
    if isinstance(value, list):
        return [as_text(item) for item in value]
    if isinstance(value, dict):
        return {name: as_text(item) for name, item in value.items()}
    return format(value, "f") if isinstance(value, Decimal) else _time_as_text(value)


def _time_as_text(value: Any) -> Any:
    match value:
        case dt.datetime():
            return value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")
        case dt.date():
            return value.isoformat()
        case dt.time():
            return value.strftime("%H:%M:%S.%f")
        case _:
            return value
