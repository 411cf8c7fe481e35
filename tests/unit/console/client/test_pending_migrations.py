from typing import Any

import pytest

from console.client.ledger import StageProgress
from console.client.pending_migrations import PendingMigrations, datasets_to_load, lacking
from console.client.progress import by_key
from shared.datasets.frozen import RunDatasets
from shared.datasets.model import Dataset
from shared.storage import keys
from shared.storage.object_store import open_memory


def dataset(*columns: str) -> Dataset:
    return Dataset.model_validate(
        {
            "name": "dups",
            "source": {
                "name": "source",
                "kind": "api",
                "base_url": "http://source",
                "path": "/",
                "pagination": {"kind": "none"},
            },
            "table": "eyes_dups",
            "key": ["id"],
            "columns": [{"name": name, "type": "int64"} for name in ("id", *columns)],
        }
    )


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (["id", "extra", "more", "_run_id"], None),
        (["id", "more"], "loading waits: table eyes_dups has no column extra: run `onpoint migrate`"),
        (["id"], "loading waits: table eyes_dups has no columns extra and more: run `onpoint migrate`"),
        ([], "loading waits: there is no table eyes_dups: run `onpoint migrate`"),
    ],
)
def test_what_a_migration_has_yet_to_make_is_named(there: list[str], expected: str | None) -> None:
    assert lacking(dataset("extra", "more"), there) == expected


def test_only_datasets_with_batches_that_wait_for_the_loader_are_asked_about() -> None:
    stages = [
        StageProgress("waits", "processor", 2, None, 2, 0, 20),
        StageProgress("waits", "loader", 2, None, 1, 0, 10),
        StageProgress("loaded", "processor", 2, None, 1, 1, 10),
        StageProgress("loaded", "loader", 2, None, 1, 0, 10),
    ]

    assert datasets_to_load(by_key(stages)) == ["waits"]


class Columns:
    """A ledger that is asked for columns alone."""

    async def columns(self, table: str) -> frozenset[str]:
        return frozenset({"id"}) if table == "eyes_dups" else frozenset()


async def test_a_run_waits_for_the_columns_of_the_file_that_it_was_frozen_with() -> None:
    staging = open_memory("staging")
    frozen = dataset("extra").model_dump_json(by_alias=True, exclude_unset=True).encode()
    await staging.put(keys.dataset_key("r", "dups"), frozen)
    pending = PendingMigrations(RunDatasets(staging, lambda: {"dups": dataset(), "other": dataset("more")}))
    stages = by_key(
        [
            StageProgress(name, stage, 1, None, int(stage == "processor"), 0, 0)
            for name in ("dups", "gone")
            for stage in ("processor", "loader")
        ]
    )
    ledger: Any = Columns()

    assert await pending.find(ledger, "r", stages) == [
        "loading waits: table eyes_dups has no column extra: run `onpoint migrate`"
    ]
