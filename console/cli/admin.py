"""`onpoint topics` and `onpoint migrate`: needed once, and again after an update."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.cli import environment, recovery
from console.cli.errors import FAILED, CommandError
from console.formatting import printable, quantity

if TYPE_CHECKING:
    from shared.postgres.migrations import Migration

ROOT = Path(__file__).resolve().parents[2]
TOPICS_FILE = ROOT / "deploy" / "kafka" / "topics.yaml"

LEFT_OUT = "left out: "
"""How the line about a dataset file or table that is left out begins; the local stack reads it."""

TOPICS_EXAMPLES = """\b
Examples:
  onpoint topics apply
  onpoint topics apply --replication 3    on a cluster of several brokers
  onpoint topics apply --partitions 24    for up to 24 processes of a service
"""

MIGRATE_EXAMPLE = """\b
Examples:
  onpoint migrate                            the stack that runs here
  ONPOINT_DATASETS_DIR=mine onpoint migrate  tables for datasets of your own
  ONPOINT_POSTGRES_DSN=postgresql://me@db.example.org/onpoint onpoint migrate
"""

topics = typer.Typer(help="The topics of the bus.", no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    topics.command("restore", epilog=recovery.EXAMPLES)(recovery.restore)
    app.add_typer(topics, name="topics")
    app.command(epilog=MIGRATE_EXAMPLE)(migrate)


@topics.command(epilog=TOPICS_EXAMPLES)
def apply(
    *,
    file: Annotated[
        Path,
        typer.Option(
            "--file",
            "-f",
            metavar="FILE",
            help="Declaration of the topics; absent: deploy/kafka/topics.yaml.",
            show_default=False,
        ),
    ] = TOPICS_FILE,
    replication: Annotated[
        int, typer.Option("--replication", metavar="N", min=1, help="Replicas of a topic that is created.")
    ] = 1,
    partitions: Annotated[
        int | None,
        typer.Option(
            "--partitions",
            metavar="N",
            min=1,
            help="Partitions of a topic that is created; absent: as declared. A topic with a number of its own keeps it.",
        ),
    ] = None,
) -> None:
    """Create missing topics and set the configuration of the others.

    Nothing is deleted, and the number of partitions of a topic that exists is left alone. Safe to repeat.
    """
    from aiokafka.errors import KafkaError

    from console.client.kafka import reason
    from shared.bus.topic_admin import apply_topics, load_topics

    kafka = environment.kafka()
    specs = load_topics(file, partitions=partitions)
    try:
        applied = asyncio.run(apply_topics(kafka, specs, replication=replication))
    except (KafkaError, OSError) as error:
        raise CommandError(f"Kafka at {kafka.servers} could not be asked: {reason(error)}") from error
    for label, names in (("created", applied.created), ("configured", applied.changed)):
        for name in names:
            print(f"{label} {name}")
    for difference in applied.differing:
        print(f"left alone {difference}: a topic's partitions are for you to change")
    print(f"{len(specs)} topics are in place, {len(applied.created)} of them new")


MIGRATED = ("services.loader", "services.quality", "services.s3sink", "console")
"""The packages with a schema of their own in PostgreSQL."""


def migrations() -> "list[Migration]":
    """The services' and the command line's own."""
    from shared.postgres.migrations import find_migrations

    return [migration for package in MIGRATED for migration in find_migrations(package)]


def migrate(
    *,
    warn_only: Annotated[
        bool,
        typer.Option(
            "--warn-only",
            help="End with 0 though a dataset file or table is left out: for a start that goes on.",
        ),
    ] = False,
) -> None:
    """Bring the database up to date: the services' own tables, and one table for each dataset.

    Safe to repeat; nothing is dropped. A dataset file that cannot be used, or a table that does not fit its file, is
    named at the end, and keeps no other from its table; the exit code is then 1.
    """
    import asyncpg

    from shared.postgres.migrations import TablesError
    from shared.postgres.migrations import migrate as bring_up_to_date
    from shared.postgres.refusals import refusal_of

    dsn = environment.ledger_dsn()
    catalog = environment.catalog()
    left_out = [str(refused) for refused in catalog.refused]
    try:
        done: Sequence[str] = asyncio.run(
            bring_up_to_date(dsn, migrations(), list(catalog.values()), report=_progress)
        )
    except TablesError as error:
        done = error.done
        left_out += [
            f"{catalog.files[each.dataset]}: table {each.table}: {each.reason}" for each in error.failures
        ]
    except (OSError, TimeoutError) as error:
        raise CommandError(
            refusal_of(error, dsn)
            or "PostgreSQL does not answer, so nothing was changed: is it running? See `onpoint ps`, or "
            f"ONPOINT_POSTGRES_DSN if it is elsewhere ({str(error) or 'no answer in time'})"
        ) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CommandError(
            refusal_of(error, dsn) or f"PostgreSQL could not be brought up to date: {error}"
        ) from error
    for step in done:
        print(f"done {step}")
    for line in left_out:
        print(f"{LEFT_OUT}{printable(line)}", file=sys.stderr)
    if not left_out:
        print("the database is up to date")
        return
    print(f"the database is up to date, {quantity(len(left_out), 'dataset file')} left out", file=sys.stderr)
    if not warn_only:
        raise typer.Exit(FAILED)


def _progress(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
