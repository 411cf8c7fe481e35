"""Records for `onpoint bench process`: raw lines, their dataset, and how polars and pandas would type them by themselves."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from shared.datasets.model import Dataset

WORDS = (  # noqa: SIM905 - words
    "order shipment customer window delivery garden invoice yellow report copper evening market because between "
    "quality harbour letter minute silver winter mountain number reason service street summer version without"
).split(" ")
BODY_WORDS = 50
TAGS = 3
ITEMS = 2


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of record."""

    name: str
    goal: float
    """Of the processor's rate over bare polars'."""
    columns: tuple[dict[str, Any], ...]
    record: Callable[[int, random.Random], dict[str, Any]]
    polars_schema: pl.Schema
    polars_casts: tuple[pl.Expr, ...] = ()
    """What the reader of JSON leaves as text."""

    @property
    def dataset(self) -> Dataset:
        return Dataset.model_validate(
            {
                "name": "bench",
                "source": {
                    "name": "bench",
                    "kind": "api",
                    "base_url": "http://bench",
                    "path": "/bench",
                    "pagination": {"kind": "none"},
                },
                "table": "bench",
                "key": ["id"],
                "columns": list(self.columns),
            }
        )

    def lines(self, rows: int) -> bytes:
        """The same for the same number."""
        chance = random.Random(rows)  # noqa: S311 - repeatable
        return b"".join(json.dumps(self.record(n, chance)).encode() + b"\n" for n in range(rows))


def _text(chance: random.Random, words: int) -> str:
    return " ".join(chance.choices(WORDS, k=words))


def _plain(number: int, chance: random.Random) -> dict[str, Any]:
    return {
        "id": number,
        "userId": chance.randrange(5_000),
        "title": f"record {number} {_text(chance, 4)}",
        "body": _text(chance, BODY_WORDS),
        "score": chance.random() * 100,
        "is_new": number % 3 == 0,
    }


def _rich(number: int, chance: random.Random) -> dict[str, Any]:
    return {
        "id": number,
        "body": _text(chance, BODY_WORDS // 4),
        "price": chance.randrange(10**7) / 100,
        "tax": f"{chance.randrange(10**6)}.{chance.randrange(10**4):04}",
        "placed_at": f"2026-{1 + number % 12:02}-{1 + number % 28:02}T10:{number % 60:02}:30Z",
        "changed_at": f"2026-01-31T{number % 24:02}:20:30.{number % 10**6:06}+02:00",
        "tags": [chance.choice(WORDS) for _ in range(TAGS)],
        "items": [
            {"sku": f"sku-{chance.randrange(10**6)}", "count": chance.randrange(9), "weight": chance.random()}
            for _ in range(ITEMS)
        ],
    }


_ITEM: pl.DataType = pl.Struct({"sku": pl.String, "count": pl.Int64, "weight": pl.Float64})

CASES: tuple[Case, ...] = (
    Case(
        "plain",
        0.8,
        (
            {"name": "id", "type": "int64"},
            {"name": "user_id", "from": "userId", "type": "int64"},
            {"name": "title", "type": "string"},
            {"name": "body", "type": "string"},
            {"name": "score", "type": "float64"},
            {"name": "is_new", "type": "boolean"},
        ),
        _plain,
        pl.Schema(
            {
                "id": pl.Int64,
                "userId": pl.Int64,
                "title": pl.String,
                "body": pl.String,
                "score": pl.Float64,
                "is_new": pl.Boolean,
            }
        ),
    ),
    Case(
        "rich",
        0.5,
        (
            {"name": "id", "type": "int64"},
            {"name": "body", "type": "string"},
            {"name": "price", "type": "decimal(12,2)"},
            {"name": "tax", "type": "decimal(18,4)"},
            {"name": "placed_at", "type": "timestamp"},
            {"name": "changed_at", "type": "timestamp"},
            {"name": "tags", "type": "list<string>"},
            {"name": "items", "type": "list<struct<sku: string, count: int64, weight: float64>>"},
        ),
        _rich,
        pl.Schema(
            {
                "id": pl.Int64(),
                "body": pl.String(),
                "price": pl.Float64(),
                "tax": pl.String(),
                "placed_at": pl.String(),
                "changed_at": pl.String(),
                "tags": pl.List(pl.String),
                "items": pl.List(_ITEM),
            }
        ),
        (
            pl.col("price").cast(pl.Decimal(12, 2)),
            pl.col("tax").cast(pl.Decimal(18, 4)),
            pl.col("placed_at", "changed_at").str.to_datetime(time_unit="us", time_zone="UTC"),
        ),
    ),
)
"""A decimal by way of a float, as JSON's numbers come to polars: bare means without care."""
