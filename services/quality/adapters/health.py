"""Stores a measurement of health, with the news that its changes are, in one transaction."""

import asyncpg

from services.quality.domain.health_news import of_changes
from shared.health.history import changes, states_of, with_since
from shared.health.model import HealthReport
from shared.health.store import read_states
from shared.news.config import NewsConfig
from shared.news.outbox import add
from shared.postgres.errors import translated

_LOCK = 0x0A901_18
"""Advisory lock: of two replicas that measured, the second compares with what the first has found."""

_MEASURED_AT = "SELECT measured_at FROM onpoint_news.health_report"

_KEEP_STATES = """
INSERT INTO onpoint_news.health (check_name, item, status, since, told, measured_at)
SELECT check_name, item, status, since, told, $6
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[])
    AS given (check_name, item, status, since, told)
ON CONFLICT (check_name, item) DO UPDATE
SET status = excluded.status, since = excluded.since, told = excluded.told, measured_at = excluded.measured_at
"""

_FORGET_STATES = "DELETE FROM onpoint_news.health WHERE measured_at < $1"

_KEEP_REPORT = """
INSERT INTO onpoint_news.health_report (measured_at, report) VALUES ($1, $2::jsonb)
ON CONFLICT (is_one) DO UPDATE SET measured_at = excluded.measured_at, report = excluded.report
"""

_LAST = """
SELECT extract(epoch FROM clock_timestamp() - measured_at)::float8 AS age_s, report FROM onpoint_news.health_report
"""


class HealthRepository:
    """Raises `DatabaseUnavailableError` in an outage."""

    def __init__(self, pool: asyncpg.Pool, config: NewsConfig) -> None:
        self._pool = pool
        self._config = config

    async def last(self) -> tuple[float | None, HealthReport | None]:
        """The last measurement of any replica and its age in seconds; None: there is none."""
        with translated():
            row = await self._pool.fetchrow(_LAST)
        return (
            (None, None) if row is None else (row["age_s"], HealthReport.model_validate_json(row["report"]))
        )

    async def store(self, report: HealthReport) -> HealthReport:
        """The report with the times since when its states hold. One that is older than the stored one changes nothing."""
        with translated():
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
                states = await read_states(connection)
                dated = with_since(report, states)
                before = await connection.fetchval(_MEASURED_AT)
                if before is not None and before >= report.measured_at:
                    return dated
                for check in dated.checks:
                    item = of_changes(check, changes(check, states), report.measured_at)
                    if item is not None:
                        await add(connection, item, self._config.channels_of(item))
                kept = states_of(dated, states)
                columns = zip(
                    *(
                        (check, item, state.status, state.since, state.told)
                        for (check, item), state in kept.items()
                    ),
                    strict=True,
                )
                await connection.execute(_KEEP_STATES, *map(list, columns), report.measured_at)
                await connection.execute(_FORGET_STATES, report.measured_at)
                await connection.execute(_KEEP_REPORT, report.measured_at, dated.model_dump_json())
        return dated
