"""Measures the pipeline's health: every figure is asked for now."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg

from shared.datasets.model import Dataset
from shared.errors import OnPointError
from shared.events.topology import STAGES
from shared.health import statements
from shared.health.model import CheckName, HealthCheck, HealthReport, Reading, at_most, check_of, report_of
from shared.health.services import ask_services, resources
from shared.health.settings import HealthSettings
from shared.health.targets import parse_targets
from shared.postgres.errors import translated

PATIENCE = 3
"""A database that needs this many times its limit has failed."""

FAILED_AT = 5
"""Times the limit, of the share of dead batches."""

HOUR_S = 3600

MAX_NOTE_CHARS = 200


class HealthMeter:
    """Safe to call at once from several tasks. Costs a few short statements, and a request for each service."""

    def __init__(self, pool: asyncpg.Pool, settings: HealthSettings, datasets: Mapping[str, Dataset]) -> None:
        self._pool = pool
        self._settings = settings
        self._datasets = datasets
        self._timeout_s = PATIENCE * settings.health_answer_s

    async def measure(self) -> HealthReport:
        """Raises nothing of what it measures: what cannot be asked has failed, and says why."""
        machines = asyncio.create_task(ask_services(parse_targets(self._settings.health_services)))
        database = await self._database()
        checks = [database]
        for name, ask in (
            ("freshness", self._freshness),
            ("latency", self._latency),
            ("error_rate", self._error_rate),
        ):
            checks.append(await self._checked(name, ask, skip=database.status == "FAILED"))  # type: ignore[arg-type]  # names of the table above
        checks.append(resources(await machines, self._settings.health_used_ratio))
        if database.status != "FAILED" and (capture := await self._change_capture()) is not None:
            checks.append(capture)
        return report_of(checks, datetime.now(UTC))

    async def _fetch(self, statement: str) -> list[asyncpg.Record]:
        with translated():
            async with asyncio.timeout(self._timeout_s):
                return list(await self._pool.fetch(statement))

    async def _checked(self, name: CheckName, ask: Any, *, skip: bool) -> HealthCheck:
        if skip:
            return check_of(name, [_failed(name, "the database does not answer")])
        try:
            return check_of(name, await ask())
        except OnPointError as error:
            return check_of(name, [_failed(name, str(error))])

    async def _database(self) -> HealthCheck:
        began_s = time.monotonic()
        limit_s = self._settings.health_answer_s
        try:
            [row] = await self._fetch(statements.DATABASE)
        except OnPointError as error:
            return check_of("database", [_failed("answer", str(error), limit_s, "seconds")])
        took_s = time.monotonic() - began_s
        return check_of(
            "database",
            [
                at_most("answer", took_s, limit_s, unit="seconds"),
                at_most(
                    "active", row["active"], self._settings.health_active_connections - 1, unit="connections"
                ),
                Reading(item="size", status="HEALTHY", value=row["bytes"], unit="bytes"),
            ],
        )

    async def _freshness(self) -> list[Reading]:
        """Of each dataset of which a run has ended."""
        found = {row["dataset"]: row for row in await self._fetch(statements.FRESHNESS)}
        readings = []
        for name, dataset in self._datasets.items():
            row = found.get(name)
            if row is None or not (row["has_ended"] or row["loaded_at"]):
                continue
            note = "no run has loaded a row" if row["loaded_at"] is None else ""
            age = (
                None if row["loaded_at"] is None else (row["now"] - row["loaded_at"]).total_seconds() / HOUR_S
            )
            readings.append(
                at_most(name, age, dataset.max_age_hours, unit="hours", note=note, beyond="STALE")
            )
        return readings

    async def _latency(self) -> list[Reading]:
        done = {row["stage"]: row for row in await self._fetch(statements.LATENCY)}
        waiting = {row["stage"]: row["waiting"] or 0 for row in await self._fetch(statements.QUEUE)}
        readings = [self._waits(sum(waiting.values()), await self._fetch(statements.LAST_RESULT))]
        for stage in STAGES:
            row = done.get(stage)
            note = "" if row else "no batch in the last hour"
            p50, p95 = (row["p50"], row["p95"]) if row else (None, None)
            readings.append(_shown(f"{stage} p50", p50, "seconds", note))
            if stage == "crawler":
                readings.append(_shown(f"{stage} p95", p95, "seconds", note or "since the run was asked for"))
            else:
                limit = self._settings.health_latency_p95_s
                readings.append(
                    at_most(f"{stage} p95", p95, limit, unit="seconds", note=note, missing="HEALTHY")
                )
            readings.append(_shown(f"{stage} queue", waiting.get(stage, 0), "batches"))
        rows = done["loader"]["rows"] if "loader" in done else 0
        return [*readings, _shown("rows", rows, "rows in the last hour")]

    def _waits(self, waiting: int, last: Sequence[asyncpg.Record]) -> Reading:
        """Batches that wait while nothing moves at all: the pipeline stands still."""
        if not waiting:
            return _shown("progress", 0, "seconds", "no batch waits")
        note = f"{waiting:,} batches wait; seconds since the last result"
        return at_most(
            "progress",
            last[0][0],
            self._settings.health_stalled_s,
            unit="seconds",
            note=note,
            beyond="FAILED",
        )

    async def _error_rate(self) -> list[Reading]:
        stages = {row["stage"]: row for row in await self._fetch(statements.ERRORS)}
        [runs] = await self._fetch(statements.FAILED_RUNS)
        batches, dead = (sum(row[name] for row in stages.values()) for name in ("batches", "dead"))
        limit = self._settings.health_error_ratio
        ratio = dead / batches if batches else 0.0
        note = f"{dead:,} of {batches:,} results are dead" if batches else "no result in the last hour"
        all_stages = at_most(
            "batches",
            ratio,
            limit,
            unit="ratio",
            note=note,
            beyond="FAILED" if ratio > min(1.0, FAILED_AT * limit) or ratio == 1.0 else "WARNING",
        )
        by_stage = [
            _shown(f"{stage} dead", row["dead"], "batches") for stage, row in stages.items() if row["dead"]
        ]
        return [all_stages, *by_stage, _shown("failed runs", runs["failed"], "runs", f"of {runs['ended']}")]

    async def _change_capture(self) -> HealthCheck | None:
        """None: changes are not captured here, or another role's rights are needed to see it."""
        try:
            found = await self._fetch(statements.CHANGE_CAPTURE)
        except OnPointError:
            return None
        if not found:
            return None
        [row] = found
        if row["wal_status"] in {None, "lost"}:
            note = "changes are lost: `onpoint cdc resnapshot --all` begins anew"
            return check_of("change_capture", [_failed("slot", note)])
        status, note = (
            ("HEALTHY", "") if row["active"] else ("WARNING", "nothing reads it: is Kafka Connect up?")
        )
        slot = Reading.model_validate(
            {
                "item": "slot",
                "status": status,
                "value": row["lag_bytes"],
                "unit": "bytes to read",
                "note": note,
            }
        )
        return check_of("change_capture", [slot])


def _shown(item: str, value: float | None, unit: str, note: str = "") -> Reading:
    """A value that is never bad."""
    rounded = None if value is None else round(value, 4)
    return Reading(item=item, status="HEALTHY", value=rounded, unit=unit, note=note)


def _failed(item: str, why: str, limit: float | None = None, unit: str = "") -> Reading:
    return Reading(item=item, status="FAILED", value=None, limit=limit, unit=unit, note=why[:MAX_NOTE_CHARS])
