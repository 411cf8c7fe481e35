"""Kafka Connect over its REST API."""

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp

from shared.errors import OnPointError

TIMEOUT_S = 30.0
RETRY_S = 0.5
REBALANCING = 409
NOT_FOUND = 404
OK_BELOW = 300


class ConnectError(OnPointError):
    """Kafka Connect is away, or refuses; one sentence for people."""


@dataclass(frozen=True, slots=True)
class ConnectorState:
    """As Kafka Connect tells it."""

    state: str
    """RUNNING, PAUSED, STOPPED, FAILED, UNASSIGNED or RESTARTING; of its task where the connector itself runs."""
    why: str | None
    """Of a failed one: the causes, one per line, without their stack."""


class Connect:
    """One session. Every call waits out a rebalance of the workers for `TIMEOUT_S`. Raises `ConnectError`."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), headers={"Content-Type": "application/json"}
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def config(self, name: str) -> dict[str, str] | None:
        """None: there is no such connector."""
        found = await self._call("GET", f"/connectors/{name}/config")
        return None if found is None else dict(found)

    async def put(self, name: str, config: Mapping[str, str]) -> None:
        """Makes the connector, or gives it another configuration."""
        await self._call("PUT", f"/connectors/{name}/config", dict(config))

    async def state(self, name: str) -> ConnectorState | None:
        """None: there is no such connector."""
        found = await self._call("GET", f"/connectors/{name}/status")
        if found is None:
            return None
        tasks = found["tasks"]
        if found["connector"]["state"] == "STOPPED" and not tasks:
            return ConnectorState("STOPPED", None)
        worst = next((each for each in (found["connector"], *tasks) if each["state"] == "FAILED"), None)
        if worst is not None:
            return ConnectorState("FAILED", _causes(worst.get("trace", "")))
        if found["connector"]["state"] != "RUNNING":
            return ConnectorState(found["connector"]["state"], None)
        return ConnectorState(tasks[0]["state"] if tasks else "UNASSIGNED", None)

    async def restart(self, name: str) -> bool:
        """The connector and its task. False: there is no such connector."""
        return await self._call("POST", f"/connectors/{name}/restart?includeTasks=true") is not None

    async def stop(self, name: str) -> None:
        """Ends its task and keeps its configuration. Returns when it is stopped."""
        await self._call("PUT", f"/connectors/{name}/stop")
        await self.until(name, "STOPPED", patience_s=math.inf)

    async def resume(self, name: str) -> None:
        """Starts a stopped connector where it stopped; nothing where it runs."""
        await self._call("PUT", f"/connectors/{name}/resume")

    async def forget(self, name: str) -> None:
        """Removes the position of a stopped connector: it begins with a full load."""
        await self._call("DELETE", f"/connectors/{name}/offsets")

    async def delete(self, name: str) -> bool:
        """False: there was no such connector."""
        return await self._call("DELETE", f"/connectors/{name}") is not None

    async def until(
        self, name: str, wanted: str, timeout_s: float = 60.0, *, patience_s: float = 0.0
    ) -> None:
        """Waits for a state. Raises `ConnectError` with the causes where it fails, or where time is over.

        `patience_s`: so long a failure is taken for the one that was there before.
        """
        patient_until = time.monotonic() + patience_s
        state: ConnectorState | None = None
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    state = await self.state(name)
                    if state is not None and state.state == wanted:
                        return
                    has_failed = state is not None and state.state == "FAILED"
                    if state is not None and has_failed and time.monotonic() >= patient_until:
                        raise ConnectError(f"the connector {name} failed: {state.why}")
                    await asyncio.sleep(RETRY_S)
        except TimeoutError as error:
            found = state.state if state else "not there"
            raise ConnectError(
                f"the connector {name} is {found} after {timeout_s:.0f} s: look at Kafka Connect's log"
            ) from error

    async def _call(self, method: str, path: str, body: Mapping[str, str] | None = None) -> Any:
        """The answer; `{}` for an empty one, None where there is no such connector."""
        if self._session is None:
            raise RuntimeError("the session is not open")
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while True:
                    async with self._session.request(method, self._url + path, json=body) as answer:
                        if answer.status == NOT_FOUND:
                            return None
                        if answer.status < OK_BELOW:
                            text = await answer.read()
                            return await answer.json() if text else {}
                        if answer.status != REBALANCING and answer.status < 500:  # noqa: PLR2004 - ours is wrong
                            raise ConnectError(f"Kafka Connect refuses: {(await answer.text())[:1000]}")
                    await asyncio.sleep(RETRY_S)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            why = str(error) or "no answer in time"
            raise ConnectError(f"Kafka Connect at {self._url} does not answer: {why}") from error


def _causes(trace: str) -> str:
    lines = [
        line.removeprefix("Caused by: ") for line in trace.splitlines() if not line.startswith(("\t", " "))
    ]
    return "\n".join(dict.fromkeys(lines))[:2000]
