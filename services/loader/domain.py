"""Row counts and results of a load. Pure."""

import base64
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from shared.datasets.model import Dataset
from shared.events.models import Artifact, BatchManifest, Counts
from shared.reasons import Reason

MAX_RAW_BYTES = 2**20
"""The part of a refused row that is stored."""


READ_AS = {"text": ("character varying", "character", "citext")}
"""Types of a table that take the bytes of a type as they are."""

_WHOLE = ("smallint", "integer", "bigint")
CUT_BY = {
    **dict.fromkeys(("real", "double precision", "numeric"), _WHOLE),
    "timestamp with time zone": ("date", "time without time zone"),
}
"""Types of a table into which PostgreSQL converts values of a type without a word of what is lost."""

_MODIFIER = re.compile(r"\([0-9, ]+\)")


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The least and the greatest key of a batch, both in it."""

    least: int
    greatest: int


@dataclass(frozen=True, slots=True)
class Merge:
    """What became of the rows that met the table."""

    written: int
    """Rows that are in the table now."""
    same_run: int
    """Of those, rows that replaced a row of their own run."""
    repeated: int = 0
    """Rows that met one of their own run with the same content, whichever stays: all count as superseded."""

    def __add__(self, other: "Merge") -> "Merge":
        return Merge(
            self.written + other.written,
            self.same_run + other.same_run,
            self.repeated + other.repeated,
        )


NOTHING_MERGED = Merge(0, 0)


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that PostgreSQL refuses."""

    position: int
    reason: Reason
    detail: str
    values: Mapping[str, Any]
    """The dataset's columns."""


def counts_of(rows: int, merge: Merge, rejected: int = 0) -> Counts:
    """`read = loaded + superseded + rejected`.

    A collision within a run counts one superseded in the load that meets it, whichever row stays; so does a row that
    met a newer run's. A row that replaced an older run's is loaded.
    """
    loaded = merge.written - merge.same_run
    return Counts(read=rows, loaded=loaded, superseded=rows - rejected - loaded, rejected=rejected)


def lack_of(dataset: Dataset, columns: Collection[str]) -> str | None:
    """What the dataset's table, which has these columns, lacks; None: nothing. Without columns there is no table."""
    if not columns:
        return f"there is no table {dataset.table}"
    missing = [column.name for column in dataset.columns if column.name not in columns]
    if not missing:
        return None
    noun = "column" if len(missing) == 1 else "columns"
    return f"table {dataset.table} has no {noun} {', '.join(missing)}"


def columns_behind(dataset: Dataset, types: Mapping[str, str]) -> dict[str, str]:
    """The dataset's columns that its table, whose columns have these types, lacks or has with another; and their type."""
    wanted = {column.name: column.value_type.postgres for column in dataset.columns}
    return {name: kind for name, kind in wanted.items() if types.get(name) != kind}


def columns_otherwise(dataset: Dataset, types: Mapping[str, str]) -> dict[str, str]:
    """The dataset's columns whose type in its table, which has these, is another; and that type.

    A length, a precision and a text's kind make no difference to how PostgreSQL reads a value.
    """
    wanted = {column.name: _bare(column.value_type.postgres) for column in dataset.columns}
    return {
        name: types[name]
        for name, kind in wanted.items()
        if name in types and _bare(types[name]) not in (kind, *READ_AS.get(kind, ()))
    }


def cut_off(dataset: Dataset, others: Mapping[str, str]) -> dict[str, str]:
    """Of columns whose type in the table is another: those of whose values PostgreSQL would silently store a part;
    and their type in the dataset's file.
    """
    wanted = {column.name: column.value_type.postgres for column in dataset.columns if column.name in others}
    return {name: kind for name, kind in wanted.items() if _bare(others[name]) in CUT_BY.get(_bare(kind), ())}


def _bare(kind: str) -> str:
    return _MODIFIER.sub("", kind)


def result_of(
    batch: BatchManifest,
    counts: Counts,
    nulls: Mapping[str, int],
    *,
    repeated: int = 0,
    refused: Sequence[RefusedRow] = (),
    artifacts: tuple[Artifact, ...] = (),
    cpu_ms: int | None = None,
    produced_at: datetime,
    code_version: str,
) -> BatchManifest:
    """The loader's manifest of a processed batch. `nulls` counts those of all its rows."""
    return batch.child(
        "loader",
        counts=counts,
        nulls={
            name: count - sum(row.values.get(name) is None for row in refused)
            for name, count in nulls.items()
        },
        repeated=repeated,
        rejected_by_reason=dict(Counter(row.reason.value for row in refused)),
        artifacts=artifacts,
        cpu_ms=cpu_ms,
        produced_at=produced_at,
        code_version=code_version,
    )


def quarantine_line(row: RefusedRow) -> bytes:
    """A JSON line with its newline, as the processor writes them."""
    raw, detail = orjson.dumps(row.values, default=_as_text), row.detail
    if len(raw) > MAX_RAW_BYTES:
        detail = f"{detail}; raw is the first {MAX_RAW_BYTES} of {len(raw)} bytes"
    line = {
        "source_position": row.position,
        "reason": row.reason.value,
        "detail": detail,
        "url": None,
        "raw": raw[:MAX_RAW_BYTES].decode(errors="ignore"),
    }
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _as_text(value: Any) -> str:
    """Of a decimal its digits, of bytes base64."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
