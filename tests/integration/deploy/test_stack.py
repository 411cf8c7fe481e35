"""The real components: what clients find, and what happens when a part dies."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import aioboto3
import asyncpg
import psutil
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from botocore.exceptions import ClientError

from deploy.local.errors import NotRunningError, StackError, UnknownNameError
from deploy.local.home import PROJECT_ROOT
from deploy.local.names import COMPONENTS
from deploy.local.orphans import find_orphans
from deploy.local.sockets import socket_folder
from deploy.local.stack import LocalStack
from deploy.local.waiting import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


def onpoint(stack: LocalStack, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "console", *arguments],
        cwd=PROJECT_ROOT,
        env={**os.environ, "ONPOINT_HOME": str(stack.home.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


async def test_postgres_is_ready_for_change_capture(stack: LocalStack) -> None:
    connection = await asyncpg.connect(stack.environment()["ONPOINT_POSTGRES_DSN"])
    try:
        assert await connection.fetchval("SHOW wal_level") == "logical"
        assert await connection.fetchval("SHOW server_version_num") == "180004"
        assert await connection.fetchval("SHOW unix_socket_directories") == ""
        assert await connection.fetchval("SELECT upper('ä')") == "Ä"
    finally:
        await connection.close()


async def test_postgres_wants_the_password(stack: LocalStack) -> None:
    environment = stack.environment()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(environment["ONPOINT_POSTGRES_DSN"], password="wrong")  # noqa: S106


async def test_kafka_has_the_declared_topics_and_makes_no_others(stack: LocalStack) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.environment()["ONPOINT_KAFKA_BOOTSTRAP_SERVERS"])
    await admin.start()
    try:
        assert {"crawl.requested", "run.completed", "loader.dlq"} <= set(await admin.list_topics())
        await admin.describe_topics(["never.declared"])
        assert "never.declared" not in await admin.list_topics()
    finally:
        await admin.close()


async def test_s3_has_the_buckets_and_one_winner_of_a_conditional_put(stack: LocalStack) -> None:
    environment = stack.environment()
    session = aioboto3.Session(
        environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1"
    )
    async with session.client("s3", endpoint_url=environment["ONPOINT_S3_ENDPOINT_URL"]) as client:
        buckets = {bucket["Name"] for bucket in (await client.list_buckets())["Buckets"]}
        assert {"onpoint-staging", "onpoint-lake"} <= buckets
        where = {"Bucket": environment["ONPOINT_STAGING_BUCKET"], "Key": "probe"}
        await client.put_object(**where, Body=b"first", IfNoneMatch="*")
        with pytest.raises(ClientError, match="PreconditionFailed"):
            await client.put_object(**where, Body=b"second", IfNoneMatch="*")
        assert await (await client.get_object(**where))["Body"].read() == b"first"


async def test_s3_refuses_wrong_credentials(stack: LocalStack) -> None:
    session = aioboto3.Session("x", "y", region_name="us-east-1")
    url = stack.environment()["ONPOINT_S3_ENDPOINT_URL"]
    async with session.client("s3", endpoint_url=url) as client:
        with pytest.raises(ClientError, match="InvalidAccessKeyId"):
            await client.list_buckets()


def test_nothing_listens_wider_than_this_machine(stack: LocalStack) -> None:
    listening = [
        connection.laddr.ip
        for left in find_orphans(stack.home)
        for connection in left.process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 9
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


def test_no_secret_is_in_an_argument_list(stack: LocalStack) -> None:
    environment = stack.environment()
    secrets = (environment["PGPASSWORD"], environment["AWS_SECRET_ACCESS_KEY"])
    for left in find_orphans(stack.home):
        assert not any(secret in part for part in left.process.cmdline() for secret in secrets)


def test_secrets_are_for_their_owner_alone(stack: LocalStack) -> None:
    for file in (stack.home.credentials_file, stack.home.s3_identities_file, stack.home.config_file):
        assert file.stat().st_mode & 0o077 == 0


def test_ps_tells_programs_what_runs(stack: LocalStack) -> None:
    rows = json.loads(onpoint(stack, "ps", "--json").stdout)
    assert [row["name"] for row in rows] == list(COMPONENTS)
    for row in rows:
        assert set(row) == {"name", "kind", "pid", "port", "state", "restarts", "rss_bytes"}
        assert (row["kind"], row["state"]) == ("component", "ready")
        assert row["pid"] == stack.process(row["name"]).pid
        assert row["rss_bytes"] > 10_000_000


def test_env_is_for_a_shell(stack: LocalStack) -> None:
    lines = onpoint(stack, "env").stdout.splitlines()
    assert all(line.startswith("export ") for line in lines)
    assert f"export PGPORT={stack.http_port('postgres')}" in lines


def test_second_up_is_harmless(stack: LocalStack) -> None:
    before = {row.name: row.pid for row in stack.rows()}
    again = onpoint(stack, "up")
    assert (again.returncode, "already running" in again.stdout) == (0, True)
    assert {row.name: row.pid for row in stack.rows()} == before
    with pytest.raises(StackError, match=r"runs in .* already"):
        LocalStack(stack.home.path).up()


def test_logs_are_shown(stack: LocalStack) -> None:
    assert "Kafka Server started" in onpoint(stack, "logs", "kafka", "-n", "500").stdout
    unknown = onpoint(stack, "logs", "unknown")
    assert (unknown.returncode, "choose one of kafka" in unknown.stderr) == (2, True)


async def test_killed_postgres_comes_back_with_its_data(stack: LocalStack) -> None:
    dsn = stack.environment()["ONPOINT_POSTGRES_DSN"]
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE TABLE survivor AS SELECT 42 AS answer")
    pid = stack.kill("postgres")
    stack.wait_ready("postgres", other_than=pid, timeout_s=60)
    connection.terminate()
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT answer FROM survivor") == 42
    await connection.close()
    assert [row.restarts for row in stack.rows() if row.name == "postgres"] == [1]


@pytest.mark.parametrize("name", ["kafka", "seaweedfs"])
def test_stopped_component_stays_stopped_until_started(stack: LocalStack, name: str) -> None:
    stack.stop(name)
    with pytest.raises(NotRunningError):
        stack.process(name)
    time.sleep(2)
    assert [(row.state, row.pid) for row in stack.rows() if row.name == name] == [("stopped", None)]
    stack.start(name)
    assert stack.process(name).is_running()


def test_unknown_part_is_named(stack: LocalStack) -> None:
    with pytest.raises(StackError, match="there is no 'loader' in this stack: it has kafka"):
        stack.restart("loader")
    with pytest.raises(UnknownNameError):
        stack.process("loader")


@pytest.mark.long
def test_orphans_of_a_killed_supervisor_are_ended_by_the_next_start_and_by_down(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    stack = LocalStack(tmp_path_factory.mktemp("orphans") / "home", services=())
    stack.up()
    try:
        first = {row.name: row.pid for row in stack.rows()}
        kill_supervisor(stack)
        assert {row.name for row in stack.rows()} == set(COMPONENTS)
        stack.up()
        second = {row.name: row.pid for row in stack.rows()}
        assert not set(first.values()) & set(second.values())
        assert not any(psutil.pid_exists(pid) for pid in first.values() if pid)
        kill_supervisor(stack)
        # The processes are found even where the home's files are lost as well.
        stack.home.state_file.unlink()
    finally:
        stack.down(wipe=True)
    assert find_orphans(stack.home) == []
    assert not any(psutil.pid_exists(pid) for pid in second.values() if pid)
    assert stack.rows() == []


PARENT = """
import sys, time
from pathlib import Path
from deploy.local.stack import LocalStack
with LocalStack(Path(sys.argv[1]), services=()) as stack:
    print("ready", flush=True)
    time.sleep(300)
"""


@pytest.mark.long
def test_stack_ends_with_the_process_that_made_it(tmp_path: Path) -> None:
    stack = LocalStack(tmp_path / "home", services=())
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(stack.home.path)], cwd=PROJECT_ROOT, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        pids = [row.pid for row in stack.rows()]
        parent.kill()
    wait_for(lambda: not find_orphans(stack.home), timeout_s=60, what="the processes to end")
    assert not any(psutil.pid_exists(pid) for pid in pids if pid)
    stack.down(wipe=True)


def test_a_start_that_fails_at_once_reports_why(tmp_path: Path) -> None:
    stack = LocalStack(tmp_path / "home" / ("deep" * 25), services=())
    sockets = socket_folder(stack.home)
    sockets.write_text("in the way")
    try:
        with pytest.raises(StackError, match="FileExistsError"):
            stack.up()
    finally:
        sockets.unlink()
    assert find_orphans(stack.home) == []


def test_env_of_a_stack_that_is_down_is_an_error(tmp_path: Path) -> None:
    stack = LocalStack(tmp_path / "home")
    answer = onpoint(stack, "env")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert "does not run: start it with `onpoint up`" in answer.stderr
    assert json.loads(onpoint(stack, "ps", "--json").stdout) == []
    assert onpoint(stack, "down").returncode == 0


def kill_supervisor(stack: LocalStack) -> None:
    (supervisor,) = [left.process for left in find_orphans(stack.home) if left.name == "supervisor"]
    supervisor.send_signal(signal.SIGKILL)
    wait_for(
        lambda: not supervisor.is_running() or supervisor.status() == psutil.STATUS_ZOMBIE,
        timeout_s=5,
        what="the supervisor's end",
    )
