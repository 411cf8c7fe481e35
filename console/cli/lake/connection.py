"""What the commands of the lake work on, and how they fail."""

import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from console.cli import environment
from console.cli.errors import CommandError, WrongUseError
from console.formatting import did_you_mean, one_line

if TYPE_CHECKING:
    import asyncpg

TIMEOUT_S = 60.0

CONNECTIONS = 4
"""One that holds the lock of a dataset, one that holds the lock of its listing, and those of statements."""


@asynccontextmanager
async def open_repository() -> AsyncIterator["asyncpg.Pool"]:
    from console.client import postgres

    async with postgres.pool(
        environment.ledger_dsn(), timeout_s=TIMEOUT_S, connections=CONNECTIONS
    ) as repository:
        yield repository


@contextmanager
def with_sentences(done: str) -> Iterator[None]:
    """Every outage as a sentence. Logs are for services: what a person should know is in the report."""
    import asyncpg
    import structlog

    from shared.errors import PermanentError, TransientError
    from shared.postgres.errors import StatementFailedError
    from shared.postgres.refusals import refusal_of

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    except (TransientError, StatementFailedError, PermanentError) as error:
        raise CommandError(f"not all of the lake is {done}, asking again is safe: {error}") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise CommandError(refusal_of(error) or f"PostgreSQL does not answer: {error}") from error


def choose(known: Sequence[str], asked: Sequence[str]) -> list[str]:
    """The datasets that were asked for, or all. Raises `WrongUseError` for one of which the lake has nothing."""
    for name in asked:
        if name not in known:
            hint = did_you_mean(name, known)
            raise WrongUseError(f"the lake has no objects of a dataset {one_line(name)}{hint}")
    return list(dict.fromkeys(asked)) or list(known)
