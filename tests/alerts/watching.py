"""Asks Prometheus and Alertmanager."""

import asyncio
import json
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

POLL_S = 0.5


@dataclass(frozen=True)
class Watch:
    prometheus: int
    alertmanager: int
    """Ports on this machine."""

    async def fires(self, *names: str, within_s: float = 120) -> dict[str, dict[str, Any]]:
        """Waits until Alertmanager has each of these alerts. As it has them, by name."""
        return await self._until(lambda found: found.keys() >= set(names), within_s, f"{names} to fire")

    async def ends(self, *names: str, within_s: float = 120) -> None:
        """Waits until Alertmanager has none of these alerts any more; without a name none at all."""
        await self._until(
            lambda found: not (found.keys() & set(names) if names else found), within_s, f"{names} to end"
        )

    async def fired(self, since: float) -> set[str]:
        """The names of all alerts that fired since then, by Prometheus' memory."""
        seconds = max(1, math.ceil(time.time() - since))
        found = await self.query(f'max_over_time(ALERTS{{alertstate="firing"}}[{seconds}s])')
        return {each["metric"]["alertname"] for each in found}

    async def query(self, expr: str) -> list[Any]:
        return await self._ask("query", query=expr)

    async def has_data(self, expr: str, since: float) -> bool:
        """Whether the expression had any figure at any moment since then."""
        found = await self._ask(
            "query_range", query=expr, start=f"{since:.0f}", end=f"{time.time():.0f}", step="1"
        )
        return any(not math.isnan(float(value)) for each in found for _, value in each["values"])

    async def _ask(self, what: str, **words: str) -> list[Any]:
        url = f"http://127.0.0.1:{self.prometheus}/api/v1/{what}?{urlencode(words)}"
        answer = await asyncio.to_thread(_read, url)
        result: list[Any] = answer["data"]["result"]
        return result

    async def _until(self, holds: Any, within_s: float, what: str) -> dict[str, dict[str, Any]]:
        ends = time.monotonic() + within_s
        while True:
            url = f"http://127.0.0.1:{self.alertmanager}/api/v2/alerts?active=true"
            found = {
                each["labels"]["alertname"]: each for each in _alerts(await asyncio.to_thread(_read, url))
            }
            if holds(found):
                return found
            assert time.monotonic() < ends, f"waited {within_s:.0f} s for {what}; there are {sorted(found)}"
            await asyncio.sleep(POLL_S)


def _alerts(answer: Any) -> Iterable[dict[str, Any]]:
    alerts: list[dict[str, Any]] = answer
    return alerts


def _read(url: str) -> Any:
    with urlopen(url, timeout=10) as answer:  # noqa: S310 - of this machine
        return json.load(answer)
