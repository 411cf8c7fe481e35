"""News in PostgreSQL: each item once, and once for each channel until it is sent or given up."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import asyncpg

from shared.events.ids import derive
from shared.news.item import NewsItem
from shared.postgres.errors import translated

Connection: TypeAlias = "asyncpg.Connection | asyncpg.pool.PoolConnectionProxy"

_ADD_ITEM = """
INSERT INTO onpoint_news.items (item_id, kind, item) VALUES ($1, $2, $3::jsonb)
ON CONFLICT DO NOTHING RETURNING true
"""

_ADD_DELIVERIES = """
INSERT INTO onpoint_news.outbox (item_id, channel, delivery_id)
SELECT $1, channel, delivery_id FROM unnest($2::text[], $3::text[]) AS given (channel, delivery_id)
"""

# A claim that ran out belongs to a sender that ended without a word: the channel may have it already.
_CLAIM = """
WITH due AS (
    SELECT item_id, channel, claimed_until IS NOT NULL AS is_orphan
    FROM onpoint_news.outbox
    WHERE channel = $1 AND state = 'pending' AND next_try_at <= clock_timestamp()
      AND (claimed_until IS NULL OR claimed_until < clock_timestamp())
    ORDER BY next_try_at, created_at, item_id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
UPDATE onpoint_news.outbox o
SET tries = o.tries + 1, claim = $2, claimed_until = clock_timestamp() + $3 * interval '1 second',
    in_doubt = o.in_doubt OR due.is_orphan
FROM due JOIN onpoint_news.items i USING (item_id)
WHERE o.item_id = due.item_id AND o.channel = due.channel
RETURNING o.item_id, o.delivery_id, o.tries, o.in_doubt, i.item
"""

_SENT = """
UPDATE onpoint_news.outbox
SET state = 'sent', sent_at = clock_timestamp(), claim = NULL, claimed_until = NULL, in_doubt = false, last_error = NULL
WHERE item_id = $1 AND channel = $2 AND claim = $3
RETURNING true
"""

# News of yesterday helps no one: what is a day old is given up, and a person can ask for it again.
_NOT_SENT = """
UPDATE onpoint_news.outbox
SET claim = NULL, claimed_until = NULL, last_error = $4, in_doubt = in_doubt OR $5,
    state = CASE WHEN $6::float8 IS NULL OR queued_at < clock_timestamp() - interval '24 hours'
        THEN 'failed' ELSE 'pending' END,
    next_try_at = clock_timestamp() + coalesce($6, 0) * interval '1 second'
WHERE item_id = $1 AND channel = $2 AND claim = $3
RETURNING state
"""

_GIVE_UP = """
UPDATE onpoint_news.outbox
SET state = 'failed', claim = NULL, claimed_until = NULL,
    last_error = coalesce(last_error, 'no sender has this channel: it is not in the file of the channels any more')
WHERE state = 'pending' AND queued_at < clock_timestamp() - interval '24 hours'
  AND (claimed_until IS NULL OR claimed_until < clock_timestamp())
RETURNING channel
"""

_FORGET = """
DELETE FROM onpoint_news.items i
WHERE i.created_at < clock_timestamp() - interval '30 days'
  AND NOT EXISTS (SELECT FROM onpoint_news.outbox o WHERE o.item_id = i.item_id AND o.state = 'pending')
"""

_LIST = """
SELECT o.item_id, o.channel, o.delivery_id, i.kind, i.item ->> 'title' AS title, i.item ->> 'severity' AS severity,
    o.state, o.tries, o.in_doubt, o.last_error, o.created_at, o.sent_at,
    CASE WHEN o.state = 'pending' THEN greatest(o.next_try_at, coalesce(o.claimed_until, o.next_try_at)) END AS next_try_at
FROM onpoint_news.outbox o JOIN onpoint_news.items i USING (item_id)
WHERE ($1::text IS NULL OR o.state = $1) AND ($2::text IS NULL OR o.channel = $2)
ORDER BY o.created_at DESC, o.channel
LIMIT $3
"""

# What is being sent right now is left to its sender.
_RETRY = """
UPDATE onpoint_news.outbox
SET state = 'pending', next_try_at = clock_timestamp(), queued_at = clock_timestamp()
WHERE state <> 'sent' AND (claimed_until IS NULL OR claimed_until < clock_timestamp())
  AND ($1::text IS NULL OR delivery_id = $1) AND ($2::text IS NULL OR channel = $2)
RETURNING delivery_id
"""

_COUNTS = """
SELECT channel, count(*) FILTER (WHERE state = 'pending') AS pending, count(*) FILTER (WHERE state = 'failed') AS failed
FROM onpoint_news.outbox WHERE state <> 'sent' GROUP BY channel
"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An item for one channel, claimed by one sender."""

    item: NewsItem
    channel: str
    id: str
    """The same for every try: what the channel can know a repeat by."""
    tries: int = 1
    """This one included."""
    in_doubt: bool = False
    """Whether an earlier try ended without an answer."""
    claim: str = ""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    item_id: str
    channel: str
    delivery_id: str
    kind: str
    title: str
    severity: str
    state: str
    tries: int
    in_doubt: bool
    last_error: str | None
    created_at: datetime
    sent_at: datetime | None
    next_try_at: datetime | None
    """Of what is pending."""


def delivery_id(item_id: str, channel: str) -> str:
    return derive("news", item_id, channel)


async def add(connection: Connection, item: NewsItem, channels: Sequence[str]) -> bool:
    """Adds the item and its deliveries, unless it is there. Belongs into a transaction. Raises asyncpg's errors."""
    text = item.model_dump_json().replace("\\u0000", "\ufffd")  # a jsonb cannot hold it
    if not await connection.fetchval(_ADD_ITEM, item.id, item.kind, text):
        return False
    ids = [delivery_id(item.id, channel) for channel in channels]
    await connection.execute(_ADD_DELIVERIES, item.id, list(channels), ids)
    return True


class Outbox:
    """Raises `DatabaseUnavailableError` in an outage."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def add(self, item: NewsItem, channels: Sequence[str]) -> bool:
        """False: the item was there, and nothing is changed."""
        with translated():
            async with self._pool.acquire() as connection, connection.transaction():
                return await add(connection, item, channels)

    async def claim(self, channel: str, lease_s: float) -> Delivery | None:
        """The next delivery of the channel that is due. It is this caller's alone for `lease_s` seconds."""
        token = uuid.uuid4().hex
        with translated():
            row = await self._pool.fetchrow(_CLAIM, channel, token, lease_s)
        if row is None:
            return None
        item = NewsItem.model_validate_json(row["item"])
        return Delivery(item, channel, row["delivery_id"], row["tries"], row["in_doubt"], token)

    async def sent(self, delivery: Delivery) -> bool:
        """False: the claim was lost meanwhile, and another sender has it."""
        with translated():
            return bool(await self._pool.fetchval(_SENT, delivery.item.id, delivery.channel, delivery.claim))

    async def not_sent(
        self, delivery: Delivery, error: str, *, in_doubt: bool, again_in_s: float | None
    ) -> str | None:
        """The state it has now. `again_in_s` None: not before a person asks for it. None: the claim was lost."""
        with translated():
            state: str | None = await self._pool.fetchval(
                _NOT_SENT,
                delivery.item.id,
                delivery.channel,
                delivery.claim,
                error.replace("\x00", "\ufffd"),
                in_doubt,
                again_in_s,
            )
        return state

    async def keep_house(self) -> int:
        """Gives up what is a day old, and forgets what was settled a month ago. Returns how many it gave up."""
        with translated():
            abandoned = len(await self._pool.fetch(_GIVE_UP))
            await self._pool.execute(_FORGET)
        return abandoned

    async def rows(
        self, *, state: str | None = None, channel: str | None = None, limit: int = 50
    ) -> list[OutboxRow]:
        """The newest first."""
        with translated():
            return [OutboxRow(**row) for row in await self._pool.fetch(_LIST, state, channel, limit)]

    async def retry(self, *, delivery: str | None = None, channel: str | None = None) -> int:
        """Makes what was not sent due at once, what was given up too; how many these are."""
        with translated():
            return len(await self._pool.fetch(_RETRY, delivery, channel))

    async def counts(self) -> dict[str, tuple[int, int]]:
        """Pending and given-up deliveries of each channel that has some."""
        with translated():
            rows = await self._pool.fetch(_COUNTS)
        return {row["channel"]: (row["pending"], row["failed"]) for row in rows}
