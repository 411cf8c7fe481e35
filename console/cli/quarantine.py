"""`onpoint quarantine`: the rows that a run refused, and why."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

import typer

from console.cli import environment
from console.cli.errors import CommandError, WrongUseError
from console.cli.options import RunId
from console.client.ledger import RunRow, open_ledger
from console.formatting import did_you_mean, format_reasons, listed, number, quantity
from shared.errors import TransientError
from shared.reasons import Reason

if TYPE_CHECKING:
    from console.cli.sheets import Sheet

SHOWN = 20
"""Rows for people; programs get all."""

REASONS = tuple(reason.value for reason in Reason)

EXAMPLES = """\b
Examples:
  onpoint quarantine 2026-11-23-daily
  onpoint quarantine 2026-11-23-daily posts --reason type --limit 100
  onpoint quarantine 2026-11-23-daily --json | jq -r .raw
  onpoint quarantine 2026-11-23-daily --csv > refused.csv

\b
Each row is shown as it came, with its request, its place in the crawl (from
0), and the reason. --json gives one object a line, --csv a table; both have
every row and all of it. In CSV a text that a spreadsheet would run as a
formula gets a ' in front, and control characters are spelt out.

\b
Exit codes: 0 also where no row was refused; 1 there is no such run, its rows
are no longer kept, or a server does not answer; 2 wrong use.
"""


def register(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(quarantine)


def quarantine(
    run_id: RunId,
    dataset: Annotated[
        str | None, typer.Argument(metavar="DATASET", help="Only of this one.", show_default=False)
    ] = None,
    *,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="R", help="Only with this reason, such as type.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            "-n",
            metavar="N",
            min=1,
            help=f"At most so many rows; absent: {SHOWN}, or all with --json or --csv.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line, for programs.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="A table for spreadsheets.")] = False,
) -> None:
    """Show the rows that a run refused, as they came, and why."""
    if as_json and as_csv:
        raise WrongUseError("--json and --csv cannot both be given")
    if reason is not None and reason not in REASONS:
        raise WrongUseError(
            f"there is no reason {reason}{did_you_mean(reason, REASONS) or ': there are ' + listed(REASONS)}"
        )
    most = limit if limit or as_json or as_csv else SHOWN
    try:
        asyncio.run(_show(run_id, dataset, reason, most, _sheet(as_json=as_json, as_csv=as_csv)))
    except TransientError as error:
        raise CommandError(f"the refused rows cannot be read: {error}") from error
    except BrokenPipeError:
        # The reader has seen enough, and nothing may be flushed to a closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _sheet(*, as_json: bool, as_csv: bool) -> "Sheet":
    from console.cli.sheets import CsvTable, JsonLines, Screen

    if as_json:
        return JsonLines()
    return CsvTable() if as_csv else Screen()


async def _show(
    run_id: str, dataset: str | None, reason: str | None, limit: int | None, sheet: "Sheet"
) -> None:
    async with open_ledger(environment.ledger_dsn()) as ledger:
        run = await ledger.require_run(run_id)
        datasets = choose(run, dataset)
        counts = await ledger.rejections(run_id)
        from console.client.quarantine import read_rows  # once the run is known

        staging = environment.staging()
        shown, has_more = 0, False
        async with (
            aclosing(ledger.quarantine(run_id, datasets, reason)) as files,
            aclosing(read_rows(staging, run_id, files, reason)) as rows,
        ):
            sheet.begin(several=len(datasets) > 1)
            async for row in rows:
                if shown == limit:
                    has_more = True
                    break
                sheet.add(row)
                shown += 1
    matching = matching_counts(counts, datasets, reason)
    if shown:
        sheet.end(shown_summary(shown, matching, has_more=has_more))
    else:
        sheet.end(empty_summary(run, dataset, reason, matching_counts(counts, datasets, None)))


def choose(run: RunRow, dataset: str | None) -> tuple[str, ...]:
    """The datasets to show. Raises `WrongUseError` for one that is not of the run."""
    if dataset is None:
        return run.datasets
    if dataset not in run.datasets:
        has = f": it has {listed(run.datasets)}" if run.datasets else ": it has none"
        raise WrongUseError(
            f"run {run.run_id} has no dataset {dataset}{did_you_mean(dataset, run.datasets) or has}"
        )
    return (dataset,)


def matching_counts(
    counts: Mapping[str, Mapping[str, int]], datasets: Sequence[str], reason: str | None
) -> dict[str, int]:
    """Rows by reason, of these datasets together."""
    found: Counter[str] = Counter()
    for name in datasets:
        found.update(
            {why: rows for why, rows in counts.get(name, {}).items() if reason is None or why == reason}
        )
    return dict(found.most_common())


def shown_summary(shown: int, matching: Mapping[str, int], *, has_more: bool) -> str:
    """What was shown, and of how many. The counts are the ledger's: a run of an earlier version has none."""
    total = sum(matching.values())
    if has_more:
        of = f" of {quantity(total, 'refused row')}" if total > shown else ""
        what = f"the first {number(shown)}{of}" if of else f"the first {quantity(shown, 'refused row')}"
        why = f" ({format_reasons(matching)})" if of else ""
        return f"{what}{why}: --limit N shows more, --json and --csv show all"
    why = f": {format_reasons(matching)}" if total == shown else ""
    return f"{quantity(shown, 'refused row')}{why}"


def empty_summary(run: RunRow, dataset: str | None, reason: str | None, others: Mapping[str, int]) -> str:
    """Why nothing is shown."""
    what = f"dataset {dataset} of run {run.run_id}" if dataset else f"run {run.run_id}"
    so_far = " so far" if run.status == "running" else ""
    if reason is not None:
        has = f": it has {format_reasons(others)}" if others else ""
        return f"{what} has no row that was refused for {reason}{so_far}{has}"
    return f"{what} has no refused rows{so_far}"
