"""What PostgreSQL knows of the runs, and what in it belongs to records that Kafka has lost."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import asyncpg

from console.client import postgres
from console.client.errors import ClientError
from console.client.recovery.bus import Ends
from shared.postgres.refusals import refusal_of

TIMEOUT_S = 60.0

_LOST_ACTIONS = """
FROM unnest($1::text[], $2::integer[], $3::bigint[]) AS topic (service, "partition", "end")
WHERE a.service = topic.service AND a."partition" = topic."partition" AND a."offset" >= topic."end"
"""


class RecoveryDatabase:
    """Every method raises `ClientError` when the database does not answer, or refuses."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def runs(self) -> dict[str, bool]:
        """Every run, and whether it has ended."""
        with _as_client_errors():
            rows = await self._connection.fetch(
                "SELECT run_id, completed IS NOT NULL AS has_ended FROM onpoint_runs.v_runs"
            )
        return {row["run_id"]: row["has_ended"] for row in rows}

    async def completions(self, run_ids: list[str]) -> list[tuple[str, bytes]]:
        """Run and value of `run.completed` of those that have ended."""
        with _as_client_errors():
            rows = await self._connection.fetch(
                "SELECT run_id, completed::text FROM onpoint_runs.v_runs "
                "WHERE run_id = ANY($1::text[]) AND completed IS NOT NULL ORDER BY finished_at",
                run_ids,
            )
        return [(run_id, value.encode()) for run_id, value in rows]

    async def announce_again(self) -> int:
        """Has quality publish again what runs that have not ended had reached; their number."""
        with _as_client_errors():
            return int(await self._connection.fetchval("SELECT onpoint_runs.announce_again()"))

    async def count_lost_actions(self, ends: Ends) -> int:
        """Actions on dead letters that lie behind the end of their topic: it was made anew since."""
        with _as_client_errors():
            return int(
                await self._connection.fetchval(
                    f"SELECT count(*) FROM onpoint_console.dlq_actions a WHERE EXISTS (SELECT {_LOST_ACTIONS})",  # noqa: S608 - a constant
                    *_columns(ends),
                )
            )

    async def discount_lost_actions(self, ends: Ends) -> None:
        """They stay in the journal under another name, so that no later dead letter of the same offset has them."""
        with _as_client_errors():
            await self._connection.execute(
                f"UPDATE onpoint_console.dlq_actions a SET service = a.service || ' (lost)' {_LOST_ACTIONS}",  # noqa: S608 - a constant
                *_columns(ends),
            )


@asynccontextmanager
async def open_recovery(dsn: str) -> AsyncIterator[RecoveryDatabase]:
    with _as_client_errors(dsn):
        connection = await postgres.connect(dsn, timeout_s=TIMEOUT_S)
    try:
        yield RecoveryDatabase(connection)
    finally:
        connection.terminate()


def _columns(ends: Ends) -> tuple[list[str], list[int], list[int]]:
    places = [(service, number, end) for service, of in ends.items() for number, end in of.items()]
    services, numbers, offsets = zip(*places, strict=True) if places else ((), (), ())
    return list(services), list(numbers), list(offsets)


@contextmanager
def _as_client_errors(dsn: str = "") -> Iterator[None]:
    try:
        yield
    except (
        asyncpg.UndefinedTableError,
        asyncpg.InvalidSchemaNameError,
        asyncpg.UndefinedFunctionError,
    ) as error:
        raise ClientError("the database is of an earlier version: run `onpoint migrate`") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        text = str(error) or type(error).__name__
        raise ClientError(refusal_of(error, dsn) or f"PostgreSQL does not answer: {text}") from error
