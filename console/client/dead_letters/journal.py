"""Who did what to which dead letter: the table `onpoint_console.dlq_actions`."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Literal

import asyncpg

from console.client import postgres
from console.client.dead_letters.queue import Action
from console.client.dead_letters.record import DeadLetter, Position, identity_of
from console.client.errors import ClientError
from shared.postgres.refusals import refusal_of

TIMEOUT_S = 10.0
ROWS_AT_ONCE = 2000

_ACTIONS = """
SELECT service, "partition", "offset", original_topic, original_partition, original_offset, action, at, actor, reason,
    acknowledged_at
FROM onpoint_console.dlq_actions
WHERE acknowledged_at IS NOT NULL AND service = ANY($1) AND ($2::timestamptz IS NULL OR acknowledged_at >= $2)
ORDER BY id
"""
_BEGIN = """
INSERT INTO onpoint_console.dlq_actions (actor, action, service, "partition", "offset", original_topic,
    original_partition, original_offset, run_id, batch_id, reason, action_id)
SELECT $1, $2, u.service, u.partition, u.at, u.topic, u.original_partition, u.original_at, u.run_id, u.batch_id, $3, $12
FROM unnest($4::text[], $5::integer[], $6::bigint[], $7::text[], $8::integer[], $9::bigint[], $10::text[], $11::text[])
    WITH ORDINALITY AS u(service, partition, at, topic, original_partition, original_at, run_id, batch_id, place)
ORDER BY u.place
ON CONFLICT DO NOTHING
RETURNING id
"""
_ACKNOWLEDGE = "UPDATE onpoint_console.dlq_actions SET acknowledged_at = clock_timestamp() WHERE id = ANY($1)"


class Journal:
    """Every method raises `ClientError` when the database does not answer."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def actions(
        self, services: Sequence[str], since: datetime | None = None
    ) -> AsyncIterator[list[Action]]:
        """Actions on dead letters of the services, oldest first, in pieces. `since`: acknowledged then or later."""
        with _as_client_errors():
            async with self._connection.transaction(readonly=True):
                piece: list[Action] = []
                async for row in self._connection.cursor(
                    _ACTIONS, list(services), since, prefetch=ROWS_AT_ONCE
                ):
                    piece.append(_action(row))
                    if len(piece) == ROWS_AT_ONCE:
                        yield piece
                        piece = []
                yield piece

    async def begin(
        self,
        action: Literal["replay", "discard"],
        dead_letters: Sequence[DeadLetter],
        *,
        actor: str,
        reason: str | None = None,
        action_id: str | None = None,
    ) -> list[int]:
        """Writes a row for each action before it is done; the row counts once it is acknowledged. Ids in the order given.

        `action_id` names an order: a dead letter for which it has a row already gets none, and no id is returned for it.
        """
        originals = [dead_letter.original for dead_letter in dead_letters]
        with _as_client_errors():
            rows = await self._connection.fetch(
                _BEGIN,
                actor,
                action,
                reason,
                [dead_letter.position.service for dead_letter in dead_letters],
                [dead_letter.position.partition for dead_letter in dead_letters],
                [dead_letter.position.offset for dead_letter in dead_letters],
                [original and original.topic for original in originals],
                [original and original.partition for original in originals],
                [original and original.offset for original in originals],
                [dead_letter.run_id or None for dead_letter in dead_letters],
                [dead_letter.batch_id or None for dead_letter in dead_letters],
                action_id,
            )
        return sorted(row["id"] for row in rows)

    async def acknowledge(self, ids: Sequence[int]) -> None:
        with _as_client_errors():
            await self._connection.execute(_ACKNOWLEDGE, ids)


@asynccontextmanager
async def open_journal(dsn: str) -> AsyncIterator[Journal]:
    with _as_client_errors(dsn):
        connection = await postgres.connect(dsn, timeout_s=TIMEOUT_S)
    try:
        yield Journal(connection)
    finally:
        connection.terminate()


def _action(row: asyncpg.Record) -> Action:
    position = Position(row["service"], row["partition"], row["offset"])
    identity = identity_of(position, row["original_topic"], row["original_partition"], row["original_offset"])
    return Action(
        position, identity, row["action"], row["at"], row["actor"], row["reason"], row["acknowledged_at"]
    )


@contextmanager
def _as_client_errors(dsn: str = "") -> Iterator[None]:
    try:
        yield
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError) as error:
        raise ClientError("the database has no table for these actions yet: run `onpoint migrate`") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        text = str(error) or type(error).__name__
        raise ClientError(
            refusal_of(error, dsn) or f"the journal of dead letters in PostgreSQL does not answer: {text}"
        ) from error
