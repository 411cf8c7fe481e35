"""`onpoint topics restore`: after a loss of Kafka's data, or the restore of a backup."""

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from console.cli import environment
from console.cli.errors import CommandError
from console.cli.result import print_json
from console.formatting import listed, quantity
from shared.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from console.client.recovery.restore import Missing

EXAMPLES = """\b
Examples:
  onpoint topics restore --dry-run     what is missing
  onpoint topics restore               publish it

\b
When Kafka has lost its records, or a backup of PostgreSQL and the buckets
is restored beside a new one (docs/backup.md): `run.completed` of each run
that has ended comes from the ledger, and the request of each run that has
not from staging. Such a run then goes on: what is committed is published
again, what is not is done. Of runs that the ledger does not know, those
are left alone that were asked for before ONPOINT_STAGING_TTL_HOURS. Dead
letters are gone; `onpoint replay` does their batches again. Done twice it
is as done once.

\b
Exit codes: 0 all of it is there; 1 Kafka, PostgreSQL or S3 does not answer;
2 wrong use.
"""


def restore(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what is missing; publish nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the ids of the runs as JSON.")] = False,
) -> None:
    """Publish again what a Kafka that lost its records had of the runs."""
    from console.client.recovery.restore import find_missing
    from console.client.recovery.restore import restore as publish_missing
    from shared.sweep.settings import SweepSettings

    kafka, dsn, staging = environment.kafka(), environment.ledger_dsn(), environment.staging()
    kept = timedelta(hours=environment.settings(SweepSettings).staging_ttl_hours)
    look = find_missing if dry_run else publish_missing
    try:
        missing = asyncio.run(look(kafka, dsn, staging, oldest=datetime.now(UTC) - kept))
    except (PermanentError, TransientError) as error:
        raise CommandError(f"the runs are not restored: {error}") from error
    if as_json:
        print_json(asdict(missing))
    else:
        _show(missing, "would publish" if dry_run else "published")


def _show(missing: "Missing", done: str) -> None:
    print(f"{done} run.completed of {quantity(len(missing.completions), 'run')}")
    names = f": {listed(missing.unfinished)}" if missing.unfinished else ""
    print(f"{done} the request of {quantity(len(missing.unfinished), 'run')}{names}")
    if missing.too_old:
        print(
            f"left alone, the ledger does not know them and their files may be swept: {listed(missing.too_old)}"
        )
    if missing.never_accepted:
        print(f"ask again, no service had taken them up: {listed(missing.never_accepted)}")
    if missing.dead_letter_actions:
        print(
            f"no longer counted: {quantity(missing.dead_letter_actions, 'action')} on dead letters that are gone"
        )
