"""What is exported and must be read back: a column of every type, with the values that readers get wrong."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from services.converter.formats.base import Layout, clean_rows
from services.converter.formats.registry import FORMATS
from shared.datasets.arrow import data_schema
from shared.datasets.model import Dataset
from shared.events.names import Format
from tests.support.crawled import a_dataset
from tests.support.formulas import HARMLESS, RUN

NUL = "\x00"
TEXTS = (
    *(text for text in (*RUN, *HARMLESS) if NUL not in text),
    *(
        "a,b",
        "a;b",
        "a\tb",
        'say "hi"',
        '"',
        '""',
        "'",
        "a\nb",
        "a\r\nb",
        "a\rb",
        " padded ",
        "\\",
        "\\N",
        "null",
        "NULL",
    ),
    *(
        "007",
        "00",
        "1e5",
        "1.50",
        "1,5",
        "1/2",
        "2026-11-29",
        "TRUE",
        "NaN",
        "#N/A",
        "+49 30 123",
        "0x1F",
        "1E400",
    ),
    *(
        "😀",
        "👩‍👩‍👧",
        "é",
        "e\u0301",
        "\u202eright to left",
        "\u2028",
        "\ufeffbom",
        "<b>&amp;</b>",
        "]]>",
        "_x0041_",
    ),
)
"""All that a text can be in PostgreSQL: without NUL."""

UTC = dt.UTC
VALUES: dict[str, Sequence[Any]] = {
    "tiny": (-128, 127, 0),
    "small": (-32_768, 32_767),
    "medium": (-(2**31), 2**31 - 1),
    "big": (2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 10**15, 7),
    "plain": (10**15 - 1, -(10**15) + 1, 0, 7),
    "single": (0.1, -0.0, 3.4028234663852886e38, 1.401298464324817e-45, 16_777_216.0),
    "double": (0.1, -0.0, 1.7976931348623157e308, 5e-324, 2.0**53 + 2, 1 / 3),
    "price": (Decimal("12.50"), Decimal("-0.01"), Decimal("9999999999.99"), Decimal("0.00")),
    "money": (Decimal("12345678901234.5678"), Decimal("-0.0001")),
    "exact": (Decimal("9999999999999999999999999999.9999999999"), Decimal("-0.0000000001"), Decimal("0E-10")),
    "whole": (Decimal(10**38 - 1), Decimal(-(10**38) + 1), Decimal(2**53 + 1)),
    "flag": (True, False),
    "text": TEXTS,
    "state": ("new", "sent out", "it's"),
    "day": (dt.date(1, 1, 1), dt.date(1582, 10, 10), dt.date(1899, 12, 31), dt.date(1900, 2, 28), dt.date(9999, 12, 31)),
    "recent": (dt.date(1900, 3, 1), dt.date(2026, 11, 29), dt.date(9999, 12, 31)),
    "at": (
        dt.datetime(1, 1, 1, tzinfo=UTC),
        dt.datetime(1893, 4, 1, 0, 0, 0, 1, UTC),
        dt.datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC),
        dt.datetime(2026, 11, 29, 10, 0, 0, 123_456, UTC),
    ),
    "seen": (dt.datetime(1900, 3, 1, tzinfo=UTC), dt.datetime(2026, 11, 29, 23, 59, 59, 999_000, UTC)),
    "opens": ("00:00:00.000000", "23:59:59.999999", "08:30:00.000000"),
    "lasts": (0, 5_400_000_000, -1, 86_400_000_000 * 400 + 1),
    "token": ("0b0e0000-0000-4000-8000-0000000000ff",),
    "raw": (b"", b"\x00\xff", b"=1+1", bytes(range(256))),
    "code": (b"", b"\x00\xff", b"=1+1"),
    "doc": ('{"a":[1.5,null,"=1+1"],"é":"\\"\\n"}', '"=1+1"', "9007199254740993", "null"),
    "tags": ([], ["=1+1", None, "a,b", 'say "hi"', "a\nb", "😀"], [None]),
    "sums": ([Decimal("0.10"), Decimal("-99999999.99"), None], []),
    "parts": (
        [],
        [
            {
                "sku": "007",
                "price": Decimal("1.10"),
                "big": 2**53 + 1,
                "lasts": 90_000_000,
                "at": dt.datetime(1, 1, 1, tzinfo=UTC),
                "code": b"\x00\xff",
            },
            {"sku": None, "price": None, "big": None, "lasts": None, "at": None, "code": None},
        ],
    ),
    "place": ({"lat": 52.5, "day": dt.date(1899, 12, 31), "note": "=1+1"}, {"lat": None, "day": None, "note": None}),
}  # fmt: skip

TYPES: dict[str, str] = {
    "tiny": "int8", "small": "int16", "medium": "int32", "big": "int64", "plain": "int64", "single": "float32",
    "double": "float64", "price": "decimal(12,2)", "money": "decimal(18,4)", "exact": "decimal(38,10)",
    "whole": "decimal(38,0)", "flag": "boolean", "text": "string", "state": "enum(new, 'sent out', 'it''s')", "day": "date",
    "recent": "date", "at": "timestamp", "seen": "timestamp", "opens": "time", "lasts": "duration", "token": "uuid",
    "raw": "binary", "code": "binary", "doc": "json", "tags": "list<string>", "sums": "list<decimal(10,2)>",
    "parts": "list<struct<sku: string, price: decimal(10,2), big: int64, lasts: duration, at: timestamp, code: binary>>",
    "place": "struct<lat: float64, day: date, note: string>",
}  # fmt: skip
NESTED = ("tags", "sums", "parts", "place")
HEXADECIMAL = ("code", "parts")
"""Columns whose bytes are written as hexadecimal digits where bytes are text."""

NO_NUMBERS_COLUMNS = ("odd_single", "odd_double")
"""JSON has neither infinities nor NaN: a table of their own."""
_NO_NUMBERS = (float("inf"), float("-inf"), float("nan"), 1.5)


def _type(name: str) -> str:
    return TYPES.get(name) or {"odd_single": "float32", "odd_double": "float64"}[name]


def dataset(columns: Sequence[str], formats: dict[str, Any] | None = None) -> Dataset:
    own = a_dataset(
        [
            {"name": "id", "type": "int64"},
            *(
                {"name": name, "type": _type(name), **({"encoding": "hex"} if name in HEXADECIMAL else {})}
                for name in columns
            ),
        ],
        key=["id"],
    )
    document = own.model_dump(by_alias=True, exclude_unset=True)
    return Dataset.model_validate(document | {"exports": formats or {}})


def stored(columns: Sequence[str]) -> pa.Table:
    """The values as the processor leaves them, each column from its first on again, a null between two rounds."""
    rows = len(TEXTS) + 1
    schema = data_schema(dataset(columns))
    arrays = [pa.array(range(rows), pa.int64())]
    for name in columns:
        values = [*VALUES.get(name, _NO_NUMBERS), None]
        arrays.append(pa.array([values[row % len(values)] for row in range(rows)], schema.field(name).type))
    return pa.table(arrays, schema=schema)


def export(
    name: Format, folder: Path, columns: Sequence[str] = tuple(TYPES), options: dict[str, Any] | None = None
) -> Path:
    """The file of the format, as the converter writes it of the clean Parquet."""
    own = dataset(columns, {name: options or {}})
    pq.write_table(stored(columns), folder / "clean.parquet")
    target = folder / f"export.{FORMATS[name].extension(own.exports)}"
    with pq.ParquetFile(folder / "clean.parquet") as clean:
        FORMATS[name].write(clean_rows(clean, Layout(own, FORMATS[name])), own.exports, target)
    return target
