import asyncio
import json
import os
import pty
import signal
import sys
import uuid
from typing import Any

import asyncpg
import pytest
from aiokafka.structs import ConsumerRecord

from tests.integration.console.played import Onpoint, Services, Start, completed, ended

pytestmark = pytest.mark.integration


@pytest.fixture
def run_id() -> str:
    return f"test-{uuid.uuid4().hex}"


async def answered(services: Services, **changes: Any) -> tuple[ConsumerRecord, dict[str, Any]]:
    """Takes the next request and ends its run."""
    record, request = await services.requested()
    await services.complete(request["run_id"], **changes)
    return record, request


async def has_begun(ledger: asyncpg.Connection, run_id: str) -> None:
    """The ledger knows that a batch of four is crawled."""
    await ledger.execute(
        "INSERT INTO onpoint_runs.v_runs (run_id, status, requested_at, started_at, datasets) "
        "VALUES ($1, 'running', now(), now(), '{posts}')",
        run_id,
    )
    await ledger.execute(
        "INSERT INTO onpoint_runs.v_progress VALUES ($1, 'posts', 'crawler', 4, 200000, 1, 0, 50000)", run_id
    )


async def first_line(process: asyncio.subprocess.Process) -> str:
    """The first text that the program writes to stderr."""
    assert process.stderr is not None
    return (await asyncio.wait_for(process.stderr.readline(), 60)).decode()


async def test_a_run_is_asked_for_and_its_id_told(onpoint: Onpoint, services: Services) -> None:
    result = await onpoint("run", "posts", "users", "--limit", "posts=5", "--formats", "csv")
    record, request = await services.requested()

    assert result.code == 0, result.err
    assert record.key.decode() == request["run_id"]
    assert request["datasets"] == ["posts", "users"]
    assert request["parameters"] == {"posts": {"limit": 5}}
    assert request["formats"] == ["csv"]
    assert f"onpoint status {request['run_id']}" in result.out


async def test_a_program_gets_the_id_as_json(onpoint: Onpoint, services: Services) -> None:
    result = await onpoint("run", "posts", "--json")
    _, request = await services.requested()

    assert json.loads(result.out) == {"run_id": request["run_id"]}
    assert result.err == ""


async def test_with_json_and_wait_stdout_is_the_value_of_run_completed_and_nothing_else(
    onpoint: Onpoint, services: Services, run_id: str
) -> None:
    running = asyncio.create_task(onpoint("run", "posts", "--run-id", run_id, "--wait", "--json"))
    await services.requested()
    value = await services.complete(run_id)
    result = await running

    assert (result.code, result.err) == (0, "")
    assert json.loads(result.out) == value


@pytest.mark.parametrize(
    ("status", "code"), [("succeeded", 0), ("partial", 1), ("failed", 1), ("cancelled", 1)]
)
async def test_the_exit_code_is_the_status_of_the_run(
    onpoint: Onpoint, services: Services, status: str, code: int
) -> None:
    running = asyncio.create_task(onpoint("run", "posts", "--wait"))
    _, request = await answered(services, status=status)
    result = await running

    assert result.code == code
    assert f"{request['run_id']}  {status}" in result.out


async def test_only_the_committed_end_of_this_very_run_ends_the_wait(
    start: Start, services: Services, run_id: str
) -> None:
    process = await start("run", "posts", "--run-id", run_id, "--wait", "--json")
    await services.requested()
    await services.complete(run_id + "-other", "failed")
    await services.publish_garbage()
    await services.abort(run_id)
    await asyncio.sleep(1)
    assert process.returncode is None

    await services.complete(run_id)
    assert (await ended(process)).code == 0


async def test_a_run_that_is_over_before_the_wait_begins_is_still_seen(
    onpoint: Onpoint, services: Services
) -> None:
    """The end of the topic is read before the request goes out."""
    for _ in range(3):
        running = asyncio.create_task(onpoint("run", "posts", "--wait", "--json", "--timeout", "20"))
        await answered(services)

        assert (await running).code == 0


async def test_asking_again_for_a_run_that_is_over_shows_its_result_and_asks_for_nothing(
    onpoint: Onpoint, services: Services, ledger: asyncpg.Connection, run_id: str
) -> None:
    value = completed(run_id, "partial")
    await ledger.execute(
        "INSERT INTO onpoint_runs.v_runs (run_id, status, requested_at, datasets, completed) "
        "VALUES ($1, 'partial', now(), '{posts}', $2)",
        run_id,
        json.dumps(value),
    )
    result = await onpoint("run", "posts", "--run-id", run_id, "--wait", "--json")
    again = await onpoint("run", "posts", "--json")
    _, request = await services.requested()

    assert (result.code, json.loads(result.out)) == (1, value)
    assert "was asked for before and is over" in result.err
    assert request["run_id"] == json.loads(again.out)["run_id"]


async def test_asking_again_for_a_run_that_goes_on_waits_for_its_end(
    onpoint: Onpoint, services: Services, ledger: asyncpg.Connection, run_id: str
) -> None:
    await ledger.execute(
        "INSERT INTO onpoint_runs.v_runs (run_id, status, requested_at, datasets) VALUES ($1, 'running', now(), '{posts}')",
        run_id,
    )
    running = asyncio.create_task(onpoint("run", "posts", "--run-id", run_id, "--wait"))
    await answered(services)

    assert (await running).code == 0


@pytest.mark.parametrize("wait", [(), ("--wait",)])
@pytest.mark.parametrize("status", ["running", "succeeded"])
async def test_the_id_of_another_run_is_refused_and_nothing_is_asked_for(
    onpoint: Onpoint,
    services: Services,
    ledger: asyncpg.Connection,
    run_id: str,
    wait: tuple[str, ...],
    status: str,
) -> None:
    await ledger.execute(
        "INSERT INTO onpoint_runs.v_runs (run_id, status, requested_at, requested_by, datasets) "
        "VALUES ($1, $2, now(), 'me', '{users}')",
        run_id,
        status,
    )
    result = await onpoint("run", "posts", "--run-id", run_id, *wait)
    again = await onpoint("run", "users", "--run-id", run_id)
    _, request = await services.requested()

    assert (result.code, result.out) == (2, "")
    assert result.err == f"onpoint: run {run_id} is of users; choose another id\n"
    assert again.out.startswith(f"run {run_id} was asked for before and ")
    assert request["datasets"] == ["users"]


async def test_a_timeout_is_a_failure_that_reports_that_the_run_goes_on(
    onpoint: Onpoint, run_id: str
) -> None:
    result = await onpoint("run", "posts", "--run-id", run_id, "--wait", "--timeout", "1")

    assert (result.code, result.out) == (1, "")
    assert f"run {run_id} is not done after 1.0 s; it goes on: see `onpoint status {run_id}`" in result.err


async def test_ctrl_c_leaves_the_run_going_and_tells_how_to_look(
    start: Start, ledger: asyncpg.Connection, run_id: str
) -> None:
    await has_begun(ledger, run_id)
    process = await start("run", "posts", "--run-id", run_id, "--wait")
    assert "posts: crawl" in await first_line(process)
    process.send_signal(signal.SIGINT)
    result = await ended(process)

    assert result.code == 130
    assert f"run {run_id} goes on: see `onpoint status {run_id}`" in result.err
    assert "Traceback" not in result.err


async def test_a_log_gets_plain_lines_of_progress(
    start: Start, services: Services, ledger: asyncpg.Connection, run_id: str
) -> None:
    await has_begun(ledger, run_id)
    process = await start("run", "posts", "--run-id", run_id, "--wait")
    line = await first_line(process)
    await services.complete(run_id)
    result = await ended(process)

    assert "posts: crawl 1/4 batches; 50,000 rows crawled" in line
    assert "\x1b" not in line + result.err + result.out


async def test_on_a_terminal_bars_go_to_stderr_and_the_json_stays_clean(
    services: Services, settings: dict[str, str], run_id: str
) -> None:
    controller, terminal = pty.openpty()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ONPOINT_", "PG"))}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "console",
        "run",
        "posts",
        "--run-id",
        run_id,
        "--wait",
        "--json",
        "--timeout",
        "60",
        env={**inherited, **settings, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"},
        stdout=asyncio.subprocess.PIPE,
        stderr=terminal,
    )
    os.close(terminal)
    bars = await asyncio.to_thread(_read, controller, until=b"crawl")
    value = await services.complete(run_id)
    rest = asyncio.create_task(asyncio.to_thread(_read, controller))
    out, _ = await process.communicate()
    drawn = (bars + await rest).decode()

    assert json.loads(out) == value
    assert "requested" in drawn
    assert "crawl" in drawn
    assert drawn.rindex("\x1b[?25h") > drawn.rindex("\x1b[?25l"), "the cursor is shown again"


def _read(descriptor: int, until: bytes | None = None) -> bytes:
    """What the terminal shows until it shows that, or until the other end is closed."""
    data = b""
    while until is None or until not in data:
        try:
            part = os.read(descriptor, 65536)
        except OSError:  # how Linux reports that the other end is closed
            break
        if not part:
            break
        data += part
    return data


async def test_kafka_alone_is_enough_for_a_run(onpoint: Onpoint, services: Services) -> None:
    running = asyncio.create_task(onpoint("run", "posts", "--wait", ONPOINT_POSTGRES_DSN=""))
    await answered(services)
    result = await running

    assert result.code == 0
    assert "ONPOINT_POSTGRES_DSN is not set" in result.err


async def test_a_broker_that_is_not_there_is_one_sentence(onpoint: Onpoint) -> None:
    for words in (["run", "posts"], ["run", "posts", "--wait"]):
        result = await onpoint(*words, ONPOINT_KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")

        assert (result.code, result.out) == (1, "")
        assert result.err.startswith("onpoint: Kafka at 127.0.0.1:1 ")
        assert result.err.count("\n") == 1
