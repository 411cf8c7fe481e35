"""Which process does what with which keys of the two buckets: what the policies of a deployment are made from.

A store answers 404 for an object that is missing only where the caller may list its folder, and 403 else; services ask for
objects that may be missing. So who may read may also list.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from shared.events.topology import STAGES_IN_STAGING

Bucket = Literal["staging", "lake"]
Action = Literal["Read", "Write", "Delete"]


@dataclass(frozen=True, slots=True)
class KeyRight:
    """Of one process, on the keys of one bucket."""

    bucket: Bucket
    keys: str
    """A pattern: `*` stands for any characters, `/` among them, as in a policy of S3."""
    actions: tuple[Action, ...]
    """`Read` is GetObject and ListBucket. `Write` is PutObject and AbortMultipartUpload. `Delete` is DeleteObject."""
    but_not: tuple[str, ...] = ()
    """Patterns of keys that are not meant."""


OWN_FOLDERS: Final = ("exports/*", "cdc/*", "_runs/*", "_datasets/*")
"""Of the lake. Every other folder is a dataset's."""

RUNS: Final = "runs/*"
COLUMNS: Final = "schemas/*"
MARKS: Final = "marks/*"

_READS_RUNS: Final = (KeyRight("staging", RUNS, ("Read",)), KeyRight("staging", COLUMNS, ("Read",)))
_DATASETS: Final = "*"


def _own_results(stage: str) -> tuple[KeyRight, ...]:
    """Its artifacts and manifests. It deletes what it had unfinished, and a dead manifest whose dead letter is replayed."""
    if stage not in STAGES_IN_STAGING:
        return ()
    return (KeyRight("staging", f"runs/*/*/{stage}/*", ("Write", "Delete")),)


KEY_RIGHTS: Final[Mapping[str, tuple[KeyRight, ...]]] = {
    "crawler": (
        *_READS_RUNS,
        KeyRight("staging", "runs/*/request.json", ("Write",)),
        KeyRight("staging", "runs/*/*/plan.json", ("Write",)),
        KeyRight("staging", "runs/*/*/plan/*", ("Write",)),
        KeyRight("staging", "runs/*/*/dataset.json", ("Write",)),
        KeyRight("staging", MARKS, ("Read", "Write")),
        *_own_results("crawler"),
    ),
    "processor": (*_READS_RUNS, KeyRight("staging", COLUMNS, ("Write",)), *_own_results("processor")),
    "converter": (*_READS_RUNS, *_own_results("converter"), KeyRight("lake", "exports/*", ("Write",))),
    # Rows that PostgreSQL refused.
    "loader": (*_READS_RUNS, KeyRight("staging", "runs/*/*/loader/*", ("Write",))),
    "s3sink": (*_READS_RUNS, KeyRight("lake", _DATASETS, ("Read", "Write"), but_not=OWN_FOLDERS)),
    "quality": (
        *_READS_RUNS,
        KeyRight("staging", RUNS, ("Delete",)),
        KeyRight("lake", "*", ("Read",)),
        KeyRight("lake", "exports/*", ("Delete",)),
        KeyRight("lake", "_runs/*", ("Write",)),
        KeyRight("lake", "_datasets/*", ("Write",)),
        # The sweep, and the compaction.
        KeyRight("lake", _DATASETS, ("Write", "Delete"), but_not=OWN_FOLDERS),
    ),
    "lineage": _READS_RUNS,
    "cdc": (KeyRight("lake", "cdc/*", ("Read", "Write")),),
    # `onpoint cancel`, and what shows dead letters, refused rows and lineage of a row.
    "console": (
        *_READS_RUNS,
        KeyRight("staging", "runs/*/cancelled", ("Write",)),
        KeyRight("staging", MARKS, ("Read",)),
        KeyRight("lake", "*", ("Read",)),
    ),
    # Beside the console's: `verify`, `sweep`, `lake compact`, `exports combine`, `topics restore` and `datasets state`.
    "operator": (
        KeyRight("staging", "*", ("Read",)),
        KeyRight("staging", "runs/*/cancelled", ("Write",)),
        KeyRight("staging", RUNS, ("Delete",)),
        KeyRight("staging", MARKS, ("Write",)),
        KeyRight("staging", "runs/*/*/converter/*", ("Write",)),
        KeyRight("lake", "*", ("Read", "Write", "Delete"), but_not=("cdc/*",)),
        KeyRight("lake", "cdc/*", ("Read",)),
    ),
}
"""By the users of `shared.events.access`. Who is not here has no business with the buckets."""
