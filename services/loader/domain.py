"""What a load comes to. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.events.models import BatchManifest, Counts


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


def counts_of(rows: int, merge: Merge) -> Counts:
    """`read = loaded + superseded`.

    A collision within a run counts one superseded in the load that meets it, whoever loses; so does a row that
    met a newer run's. A row that replaced an older run's is loaded.
    """
    loaded = merge.written - merge.same_run
    return Counts(read=rows, loaded=loaded, superseded=rows - loaded)


def result_of(
    batch: BatchManifest,
    counts: Counts,
    nulls: Mapping[str, int],
    *,
    produced_at: datetime,
    code_version: str,
) -> BatchManifest:
    """The loader's manifest of a processed batch."""
    return batch.child(
        "loader", counts=counts, nulls={**nulls}, produced_at=produced_at, code_version=code_version
    )
