"""The results of a dataset's checks: from what the loader counted and the key proves, else from the run's rows."""

import pytest

from services.quality.service import checks
from shared.datasets.model import Dataset
from shared.postgres.tables import create_table_sql
from tests.integration.quality.conftest import Quality, dataset
from tests.integration.quality.story import REQUESTED_AT, Batch, Story

pytestmark = pytest.mark.integration

CHECKS = (
    {"kind": "row_count", "min": 1},
    {"kind": "not_null", "column": "title", "severity": "warn"},
    {"kind": "unique", "columns": ["id"]},
    {"kind": "unique", "columns": ["title"]},
)


@pytest.fixture
def checked() -> Dataset:
    return dataset("checked", checks=CHECKS)


async def fill(quality: Quality, checked: Dataset, run_id: str, rows: list[tuple[int, str | None]]) -> None:
    await quality.pool.execute(f"DROP TABLE IF EXISTS {checked.table}")
    await quality.pool.execute(create_table_sql(checked))
    quality.catalog["checked"] = checked
    await quality.pool.executemany(
        f"INSERT INTO {checked.table} VALUES ($1, $2, '{run_id}', 'b', '{REQUESTED_AT}', 0, now())",
        rows,
    )
    await quality.handle(*Story(run_id, {"checked": (Batch(clean=True),)}).events())


async def test_checks_look_at_the_rows_of_this_run_alone(quality: Quality, checked: Dataset) -> None:
    await fill(quality, checked, "mine", [(1, "a"), (2, "b"), (3, "c")])
    await quality.pool.execute(
        f"INSERT INTO {checked.table} VALUES (9, 'a', 'other', 'b', '{REQUESTED_AT}', 0, now())"
    )
    completed = await quality.complete("mine")
    assert completed.status == "succeeded"
    assert [(check.name, check.passed, check.value, check.expected) for check in completed.checks] == [
        ("row_count", True, 100, {"min": 1}),
        ("not_null(title)", True, 0, {"max": 0}),
        ("unique(id)", True, 0, {"max": 0}),
        ("unique(title)", True, 0, {"max": 0}),
    ]


async def test_rows_that_a_later_run_had_loaded_first_count_as_delivered(
    quality: Quality, checked: Dataset
) -> None:
    await fill(quality, checked, "later", [(1, "a")])
    older = Story("older", {"checked": (Batch(clean=True, superseded=100),)})
    await quality.handle(*older.events())
    completed = await quality.complete("older")
    assert completed.status == "succeeded"
    assert completed.datasets["checked"] == older.summary("checked")
    assert ("row_count", 100) in [(check.name, check.value) for check in completed.checks]


async def test_a_failed_check_fails_the_run_unless_it_only_warns(quality: Quality, checked: Dataset) -> None:
    await fill(quality, checked, "bad", [(1, "a"), (2, "a"), (3, "a"), (4, None), (5, None)])
    completed = await quality.complete("bad")
    assert completed.status == "failed"
    assert completed.reason == "check unique(title) on checked failed: 2, at most 0"
    assert [(check.name, check.value) for check in completed.checks if not check.passed] == [
        ("not_null(title)", 2),
        ("unique(title)", 2),
    ]


async def test_nulls_that_the_loader_counted_are_not_looked_for(quality: Quality, checked: Dataset) -> None:
    await fill(quality, checked, "filler", [(1, None)])
    counted = [Batch(clean=True, nulls=nulls) for nulls in ({"title": 3}, {"title": 0}, {"title": 4})]
    await quality.handle(*Story("counted", {"checked": tuple(counted)}).events())
    completed = await quality.complete("counted")
    assert ("not_null(title)", False, 7) in [(c.name, c.passed, c.value) for c in completed.checks]


@pytest.mark.parametrize("other", [None, {}, {"id": 0}], ids=["older", "nothing", "without-the-column"])
async def test_one_batch_without_a_count_makes_the_table_be_looked_at(
    quality: Quality, checked: Dataset, other: dict[str, int] | None
) -> None:
    """As when the loader did not know yet that the dataset has the column."""
    run_id = f"mixed-{other is None}-{len(other or ())}"
    await fill(quality, checked, "part", [(1, None), (2, "b")])
    mixed = (Batch(clean=True, nulls={"title": 9}), Batch(clean=True, nulls=other))
    await quality.handle(*Story(run_id, {"checked": mixed}).events())
    await quality.pool.execute(f"UPDATE {checked.table} SET _run_id = $1", run_id)
    completed = await quality.complete(run_id)
    assert ("not_null(title)", False, 1) in [(c.name, c.passed, c.value) for c in completed.checks]


async def test_what_is_known_is_an_answer_when_the_time_is_over(
    quality: Quality, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "TIMEOUT_S", -1)
    known = dataset("checked", checks=CHECKS[:3])
    await fill(quality, known, "timely", [(1, None)])
    counted = (Batch(clean=True, nulls={"title": 0}),)
    await quality.handle(*Story("late", {"checked": counted}).events())
    assert [check.passed for check in (await quality.complete("late")).checks] == [True, True, True]


async def test_a_key_that_the_table_does_not_guard_is_counted(quality: Quality, checked: Dataset) -> None:
    await fill(quality, checked, "unguarded", [(1, "a"), (2, "b")])
    await quality.pool.execute(f"ALTER TABLE {checked.table} DROP CONSTRAINT {checked.table}_pkey")
    await quality.pool.execute(f"UPDATE {checked.table} SET id = 1")
    completed = await quality.complete("unguarded")
    assert completed.reason == "check unique(id) on checked failed: 1, at most 0"


@pytest.mark.parametrize("rows", [[], [(1, "a"), (2, "b")]])
async def test_what_the_key_proves_needs_no_rows_to_pass(
    quality: Quality, rows: list[tuple[int, str | None]]
) -> None:
    proven = dataset("checked", checks=[{"kind": "unique", "columns": ["id"]}])
    await fill(quality, proven, f"proven-{len(rows)}", rows)
    completed = await quality.complete(f"proven-{len(rows)}")
    assert [(check.passed, check.value) for check in completed.checks] == [(True, 0)]


async def test_what_the_key_proves_fails_without_its_table(quality: Quality) -> None:
    proven = dataset("checked", checks=[{"kind": "unique", "columns": ["id"]}])
    await fill(quality, proven, "tableless", [])
    await quality.pool.execute(f"DROP TABLE {proven.table}")
    assert (await quality.complete("tableless")).status == "failed"


@pytest.mark.parametrize("damage", ["DROP TABLE {table}", "ALTER TABLE {table} DROP COLUMN title"])
async def test_a_check_that_cannot_run_has_failed(quality: Quality, checked: Dataset, damage: str) -> None:
    await fill(quality, checked, "damaged", [(1, "a")])
    await quality.pool.execute(damage.format(table=checked.table))
    completed = await quality.complete("damaged")
    assert completed.status == "failed"
    assert completed.reason is not None
    assert completed.reason.startswith("check unique(id) on checked could not run: Undefined")
    assert [check.passed for check in completed.checks] == [True, False, False, False]


async def test_a_check_whose_table_may_not_be_read_has_failed(quality: Quality, checked: Dataset) -> None:
    """A run does not stay open for a table of its own."""
    await fill(quality, checked, "forbidden", [(1, "a")])
    await quality.pool.execute(
        f"ALTER TABLE {checked.table} RENAME TO hidden; CREATE VIEW {checked.table} AS SELECT * FROM hidden; "
        f"ALTER VIEW {checked.table} OWNER TO pg_monitor"
    )
    completed = await quality.complete("forbidden")
    assert completed.status == "failed"
    assert "could not run: InsufficientPrivilegeError: permission denied" in (completed.reason or "")


async def test_a_dataset_whose_file_is_gone_fails_its_run(quality: Quality) -> None:
    await quality.handle(*Story("gone", {"vanished": (Batch(clean=True),)}).events())
    completed = await quality.complete("gone")
    assert completed.reason == "check dataset on vanished could not run: no dataset file of this name"


async def test_checks_that_take_too_long_have_failed(
    quality: Quality, checked: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(quality, checked, "slow", [(1, "a")])
    await quality.pool.execute(f"ALTER TABLE {checked.table} RENAME TO slow")
    await quality.pool.execute(f"CREATE VIEW {checked.table} AS SELECT slow.* FROM slow, pg_sleep(5)")
    monkeypatch.setattr("services.quality.service.checks.TIMEOUT_S", 0.2)
    completed = await quality.complete("slow")
    assert completed.reason is not None
    assert "could not run: QueryCanceledError" in completed.reason
