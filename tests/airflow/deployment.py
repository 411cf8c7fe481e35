"""A real Airflow of the tests' own: its command line, its processes, its REST API. Every wait is bounded."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).parents[2]
AIRFLOW = ROOT / ".venv-airflow" / "bin" / "airflow"
DAGS = ROOT / "deploy" / "airflow" / "dags"
PLUGINS = ROOT / "deploy" / "airflow" / "plugins"

COMMAND_TIMEOUT_S = 600
WITHIN_S = 400
"""Bound of one step of a run: seconds on a free machine, more on a busy one."""
POLL_S = 0.7
PARTS: Final = {
    "api-server": ("api-server", "--workers", "1"),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}


class Airflow:
    """One home, one metadata database."""

    def __init__(self, home: Path, kafka_servers: str, dags: Path, settings: Mapping[str, str]) -> None:
        self.home = home
        self.port = free_port()
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
            "AIRFLOW_HOME": str(home),
            "AIRFLOW_CONN_ONPOINT_KAFKA": json.dumps(kafka_connection(kafka_servers)),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(PLUGINS),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "true",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self.port}/execution/",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{self.port}",
            # A busy machine's API server answers late, which is not a failure of a task.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
            # The trigger's first look waits for one of these.
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            "AIRFLOW__API_AUTH__JWT_SECRET": "of the tests, long enough for every algorithm that may be chosen, 512 bits",
            # Every DAG is on from the start and its file never changes: reading it once is enough.
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "false",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
            # A killed triggerer's waits go to another one after this, not after half a minute.
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "6",
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
            "PYTHONPATH": str(ROOT),
            "NO_COLOR": "1",
            **settings,
        }
        self._parts: dict[str, subprocess.Popen[bytes]] = {}

    async def command(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Exit code and all output of an `airflow` command."""
        return await self._output_of(str(AIRFLOW), *arguments, **environment)

    async def python(self, program: str, *arguments: str, **environment: str) -> tuple[int, str]:
        """The same of a Python program where Airflow is installed."""
        return await self._output_of(
            str(AIRFLOW.with_name("python")), "-c", program, *arguments, **environment
        )

    async def _output_of(self, *command: str, **environment: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *command,
            env={**self._environment, **environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), COMMAND_TIMEOUT_S)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            raise
        assert process.returncode is not None
        return process.returncode, output.decode()

    async def test_run(self, dag_id: str, conf: Mapping[str, Any], **environment: str) -> tuple[int, str]:
        """`airflow dags test`: every task here and now, the trigger in line."""
        return await self.command("dags", "test", dag_id, "--conf", json.dumps(conf), **environment)

    def start(self, *names: str) -> None:
        for name in names:
            with (self.home / f"{name}.log").open("ab") as log:
                self._parts[name] = subprocess.Popen(
                    [AIRFLOW, *PARTS[name]],
                    env=self._environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )

    def kill(self, name: str) -> None:
        """At once, with all its children."""
        process = self._parts.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

    def stop(self) -> None:
        for process in self._parts.values():
            process.terminate()
        for name in list(self._parts):
            with suppress(subprocess.TimeoutExpired):
                self._parts[name].wait(10)
            self.kill(name)

    async def get(self, path: str) -> Any:
        return await asyncio.to_thread(self._ask, "GET", path, None)

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return await asyncio.to_thread(self._ask, "POST", path, body)

    async def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        return await asyncio.to_thread(self._ask, "PATCH", path, body)

    async def is_up(self) -> bool:
        """Every part that there can be beats."""
        try:
            health = await asyncio.to_thread(self._ask, "GET", "/monitor/health", None)
        except (OSError, AssertionError):
            return False
        return all(
            health[name]["status"] == "healthy" for name in ("scheduler", "dag_processor", "triggerer")
        )

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v2{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read()[:500]!r}") from error


class Run:
    """A DAG run, over the REST API."""

    def __init__(self, airflow: Airflow, dag_id: str, run_id: str) -> None:
        self._airflow = airflow
        self.dag_id = dag_id
        self.run_id = run_id
        self._path = f"/dags/{dag_id}/dagRuns/{run_id}"

    @classmethod
    async def triggered(cls, airflow: Airflow, dag_id: str, conf: Mapping[str, Any]) -> "Run":
        made = await airflow.post(f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": dict(conf)})
        return cls(airflow, dag_id, made["dag_run_id"])

    async def state(self) -> str:
        found = await self._airflow.get(self._path)
        return str(found["state"])

    async def task(self, task_id: str) -> dict[str, Any]:
        found: dict[str, Any] = await self._airflow.get(f"{self._path}/taskInstances/{task_id}")
        return found

    async def xcom(self, task_id: str, key: str = "return_value") -> Any:
        found = await self._airflow.get(f"{self._path}/taskInstances/{task_id}/xcomEntries/{key}")
        value = found["value"]
        with suppress(TypeError, ValueError):
            return json.loads(value)
        return value

    async def clear(self, task_id: str) -> None:
        """Clears that task and those after it, as a user does."""
        await self._airflow.post(
            f"/dags/{self.dag_id}/clearTaskInstances",
            {
                "dry_run": False,
                "dag_run_id": self.run_id,
                "task_ids": [task_id],
                "include_downstream": True,
                "only_failed": False,
                "reset_dag_runs": True,
            },
        )

    async def ends(self, within_s: float = WITHIN_S) -> str:
        """The state it ends in."""

        async def ended() -> bool:
            return await self.state() in {"success", "failed"}

        await until(ended, within_s, f"{self.dag_id} {self.run_id} to end")
        return await self.state()

    async def waits(self, within_s: float = WITHIN_S) -> None:
        """Until its wait is deferred and a triggerer has it."""

        async def is_waiting() -> bool:
            task = await self.task("wait_for_completion")
            return task["state"] == "deferred" and task["triggerer_job"] is not None

        await until(is_waiting, within_s, f"{self.run_id} to wait")

    async def reaches(self, task_id: str, state: str, within_s: float = WITHIN_S) -> None:
        async def reached() -> bool:
            return bool((await self.task(task_id))["state"] == state)

        await until(reached, within_s, f"{task_id} of {self.run_id} to be {state}")


async def until(condition: Callable[[], Awaitable[bool]], within_s: float, what: str) -> None:
    """An answer that does not come in time counts as no; Airflow is slow while it starts."""
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s:
        with suppress(TimeoutError):
            if await condition():
                return
        await asyncio.sleep(POLL_S)
    raise AssertionError(f"waited {within_s} s for {what}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def kafka_connection(servers: str) -> dict[str, Any]:
    """As the documentation gives it, but for the time a record may take to be delivered."""
    return {
        "conn_type": "kafka",
        "extra": {
            "bootstrap.servers": servers,
            "group.id": "onpoint-airflow",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "message.timeout.ms": 5000,
        },
    }
