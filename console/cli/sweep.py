"""`onpoint sweep`: removes objects past their time from the object store, as quality does on its schedule."""

import asyncio
import logging
import sys
from datetime import timedelta
from typing import Annotated

import typer

from console.cli import environment
from console.cli.errors import CommandError
from console.cli.options import ObjectAsJson
from console.cli.result import print_json
from console.formatting import number, one_line, quantity, size
from shared.errors import PermanentError, TransientError
from shared.lake.settings import LakeSettings
from shared.settings.object_store import ObjectStoreSettings
from shared.sweep.rules import KINDS, Kind, Limits, SweepReport
from shared.sweep.settings import SweepSettings

TIMEOUT_S = 30.0
PROBLEMS_SHOWN = 10

WHAT: dict[Kind, str] = {
    "artifacts": "artifacts of runs that ended long ago",
    "losers": "artifacts that no manifest names",
    "uploads": "uploads that were never finished",
    "lake_objects": "lake objects that nothing names",
    "replaced": "lake objects that compactions replaced",
    "exports": "exports that nothing names",
}

EXAMPLES = """\b
Examples:
  onpoint sweep --dry-run                 what would go, and how much it is
  onpoint sweep --older-than-hours 24     those of runs that ended a day ago
  onpoint sweep --json | jq .total.bytes

\b
Manifests, plans and listings stay. Nothing goes that a run that is not over,
or any listing, may need. What nothing names goes when it is a day old.
A run whose artifacts are gone cannot be replayed any more.
"""


def register(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(sweep)


def sweep(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Remove nothing, only say what would go.")
    ] = False,
    older_than_hours: Annotated[
        int | None,
        typer.Option(
            "--older-than-hours",
            metavar="N",
            min=0,
            max=87_600,
            help="Remove artifacts of runs that ended more than N hours ago; absent: ONPOINT_STAGING_TTL_HOURS.",
        ),
    ] = None,
    as_json: ObjectAsJson = False,
) -> None:
    """Remove what nobody needs any more from staging and the lake."""
    dsn, storage = environment.ledger_dsn(), environment.settings(ObjectStoreSettings)
    if not as_json:
        print("looking through staging and the lake", file=sys.stderr, flush=True)
    import asyncpg
    import structlog

    from shared.postgres.errors import StatementFailedError
    from shared.postgres.refusals import refusal_of

    hours = (
        environment.settings(SweepSettings).staging_ttl_hours
        if older_than_hours is None
        else older_than_hours
    )
    grace_hours = environment.settings(LakeSettings).lake_grace_hours
    limits = Limits(ttl=timedelta(hours=hours), lake_grace=timedelta(hours=grace_hours))
    # The sweep's log is for services; what a person should know is in its report.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        report = asyncio.run(_sweep(dsn, storage, limits, dry_run=dry_run))
    except (TransientError, StatementFailedError, PermanentError) as error:
        raise CommandError(f"the sweep did not get to its end, asking again is safe: {error}") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        why = refusal_of(error) or f"PostgreSQL does not answer, so nothing is swept: {error}"
        raise CommandError(why) from error
    if as_json:
        print_json(report.as_dict())
    else:
        show(report)


async def _sweep(dsn: str, storage: ObjectStoreSettings, limits: Limits, *, dry_run: bool) -> SweepReport:
    from console.client import postgres
    from shared.storage.object_store import open_s3
    from shared.sweep.ledger import LedgerRunIndex
    from shared.sweep.sweep import Sweep
    from shared.sweep.uploads import S3Uploads

    environment.use_credentials()
    async with (
        postgres.pool(dsn, timeout_s=TIMEOUT_S, is_read_only=True) as pool,
        S3Uploads(storage) as uploads,
    ):
        staging, lake = (open_s3(storage, bucket) for bucket in (storage.staging_bucket, storage.lake_bucket))
        return await Sweep(staging, lake, LedgerRunIndex(pool), uploads, limits=limits, dry_run=dry_run).run()


def show(report: SweepReport) -> None:
    from rich.table import Table

    from console.cli import screen

    console = screen.stdout()
    total = report.total
    done = "would be removed" if report.dry_run else "removed"
    if total.count:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("what")
        table.add_column("objects", justify="right")
        table.add_column("size", justify="right")
        for kind in KINDS:
            tally = report.removed[kind]
            if tally.count:
                table.add_row(WHAT[kind], number(tally.count), size(tally.bytes))
        console.print(table)
        print(f"{quantity(total.count, 'object')}, {size(total.bytes)} {done}")
    else:
        print("there is nothing to sweep")
    for problem in report.problems[:PROBLEMS_SHOWN]:
        print(f"left alone: {one_line(problem)}")
