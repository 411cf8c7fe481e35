import uuid
from pathlib import Path

import asyncpg
import pytest

from tests.integration.console.played import Onpoint

pytestmark = pytest.mark.integration


async def test_topics_are_applied_once_and_then_in_place(onpoint: Onpoint, tmp_path: Path) -> None:
    name = f"test.{uuid.uuid4().hex}"
    file = tmp_path / "topics.yaml"
    text = (
        "defaults: {partitions: 2, retention_hours: 1, max_message_bytes: 1000}\n"
        f"topics: {{{name}: {{}}}}\n"
        "services: {names: [], retry: {}, dlq: {}}\n"
    )
    file.write_text(text, encoding="utf-8")

    first = await onpoint("topics", "apply", "--file", str(file))
    second = await onpoint("topics", "apply", "--file", str(file))
    file.write_text(
        text.replace("partitions: 2", "partitions: 3").replace("hours: 1", "hours: 2"), encoding="utf-8"
    )
    third = await onpoint("topics", "apply", "--file", str(file))

    assert first.out == f"created {name}\n1 topics are in place, 1 of them new\n"
    assert second.out == "1 topics are in place, 0 of them new\n"
    assert f"configured {name}" in third.out
    assert f"left alone {name}: 2 partitions, declared 3" in third.out


async def test_a_wrong_topic_file_is_wrong_use(onpoint: Onpoint, tmp_path: Path) -> None:
    result = await onpoint("topics", "apply", "--file", str(tmp_path / "none.yaml"))

    assert result.code == 2
    assert "none.yaml" in result.err


async def test_rights_cannot_be_given_by_brokers_that_check_none(onpoint: Onpoint) -> None:
    result = await onpoint("access", "apply", "--dry-run")

    assert result.code == 2
    assert result.err == "onpoint: these brokers check no ACLs: their authorizer.class.name is not set\n"


async def test_migrate_brings_an_empty_database_up_to_date_and_can_be_repeated(
    onpoint: Onpoint, ledger: asyncpg.Connection
) -> None:
    await ledger.execute("DROP SCHEMA onpoint_runs CASCADE")
    await ledger.execute("DROP SCHEMA onpoint_console CASCADE")

    first = await onpoint("migrate")
    second = await onpoint("migrate")

    assert first.code == second.code == 0, first.err
    assert "done table onpoint_posts" in first.out
    assert second.out == "the database is up to date\n"
    assert await ledger.fetchval("SELECT to_regclass('onpoint_runs.v_runs') IS NOT NULL")
    assert await ledger.fetchval("SELECT to_regclass('onpoint_console.dlq_actions') IS NOT NULL")


@pytest.mark.parametrize(("options", "code"), [([], 1), (["--warn-only"], 0)])
async def test_a_bad_file_and_a_table_that_does_not_fit_are_named_and_keep_no_other_from_its_table(
    onpoint: Onpoint, ledger: asyncpg.Connection, tmp_path: Path, options: list[str], code: int
) -> None:
    await ledger.execute("DROP SCHEMA onpoint_runs CASCADE; DROP SCHEMA onpoint_console CASCADE")
    await ledger.execute("DROP TABLE IF EXISTS onpoint_todos, c_late, c_taken; CREATE TABLE c_taken (x text)")
    for name, table in (("late", "c_late"), ("taken", "c_taken"), ("bad", "c_bad")):
        (tmp_path / f"{name}.yaml").write_text(
            f"name: {name}\ntable: {table}\nkey: [id]\ncolumns: [{{name: id, type: int64}}]\n"
            "source: {name: s, kind: api, base_url: 'http://127.0.0.1:9', path: /x, pagination: {kind: none}}\n"
            + ("colums: []\n" if name == "bad" else "")
        )
    result = await onpoint("migrate", *options, ONPOINT_DATASETS_DIR=str(tmp_path))

    assert result.code == code
    assert "done table onpoint_todos" in result.out
    assert "done table c_late" in result.out
    assert (
        f"left out: {tmp_path}/bad.yaml:6: there is no field `colums` here: did you mean `columns`?"
        in result.err
    )
    assert f"left out: {tmp_path}/taken.yaml: table c_taken: a table of that name is there" in result.err
    assert "the database is up to date, 2 dataset files left out" in result.err


async def test_a_database_that_is_not_there_is_one_sentence(onpoint: Onpoint) -> None:
    result = await onpoint("migrate", ONPOINT_POSTGRES_DSN="postgresql://me:secret@127.0.0.1:1/x")

    assert result.code == 1
    assert result.err.count("\n") == 1
    assert "secret" not in result.err
