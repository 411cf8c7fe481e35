"""`onpoint runs` and `onpoint status`: what the run ledger knows."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from console.cli import environment, screen
from console.cli.errors import SUCCESS
from console.cli.options import ArrayAsJson, ObjectAsJson, RunId
from console.cli.progress import render as render_progress
from console.cli.result import exit_code, print_json, show
from console.cli.styles import STATUS_STYLE
from console.client.ledger import CombinedExports, RunRow, StageProgress, open_ledger
from console.client.phase import phase
from console.client.progress import Snapshot, by_key, estimates_of, progress_document
from console.formatting import duration, format_reasons, number, one_line, quantity
from shared.events.times import utc_text

WIDE = 100
"""Columns from which on there is room for long ids and whole dates."""

LEAST_ROOM = 4
"""For the datasets: their number, at least."""

MAX_ID_WIDTH = 128
"""The longest id that a run can have."""

RUNS_EXAMPLES = """\b
Examples:
  onpoint runs --limit 5
  onpoint runs --json | jq -r '.[] | select(.status == "failed") | .run_id'
"""

STATUS_EXAMPLES = """\b
Examples:
  onpoint status 2026-11-23-daily
  onpoint status 2026-11-23-daily --watch
  onpoint status 2026-11-23-daily --watch --json | jq .left_s
  onpoint status 2026-11-23-daily --json | jq .completed.datasets

\b
Exit codes: 0 the run is running or succeeded; 1 it failed, was cancelled or
is partial, or there is no such run; 2 wrong use.
"""


def register(app: typer.Typer) -> None:
    app.command(epilog=RUNS_EXAMPLES)(runs)
    app.command(epilog=STATUS_EXAMPLES)(status)


def runs(
    *,
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="N", min=1, max=10_000, help="How many.")
    ] = 20,
    as_json: ArrayAsJson = False,
) -> None:
    """List the latest runs, latest first."""
    found = asyncio.run(_latest(environment.ledger_dsn(), limit))
    if as_json:
        print_json([document(run) for run in found])
    elif found:
        console = screen.stdout()
        console.print(render_runs(found, datetime.now(UTC), width=console.width), highlight=False)
    else:
        print("there are no runs yet: start one with `onpoint run --all --wait`")


def status(
    run_id: RunId,
    *,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it live until the run has ended.")
    ] = False,
    as_json: ObjectAsJson = False,
) -> None:
    """Show one run: how far it is, or what became of it."""
    if watch:
        from console.cli.watch import watch_run

        watch_run(run_id, as_json=as_json)
    run, stages, rejected, waits, combined = asyncio.run(_one(environment.ledger_dsn(), run_id))
    if as_json:
        now = snapshot(run, stages, datetime.now(UTC), waits)
        print_json(
            document(run)
            | {
                "left_s": now.left_s,
                "progress": [progress_document(stage, now) for stage in stages],
                "rejected_by_reason": rejected,
                "combined_exports": [asdict(one) for one in combined],
                "completed": run.completed,
            },
            compact=watch,
        )
        raise typer.Exit(exit_code(run.completed) if run.completed else SUCCESS)
    if run.superseded_by:
        print(f"run {run.superseded_by} has replayed this one since")
    if run.completed:
        code = show(run.completed, as_json=False)
        if combined:
            screen.stdout().print(Text(), render_combined(run_id, combined), highlight=False, crop=False)
        raise typer.Exit(code)
    console = screen.stdout()
    # Nothing is drawn anew in place, so every line has room.
    console.print(
        render_progress(snapshot(run, stages, datetime.now(UTC), waits), width=console.width, height=10_000),
        highlight=False,
    )
    if rejected:
        from console.cli.summary import rejections

        words = {name: format_reasons(counts) for name, counts in rejected.items()}
        console.print(Text(), rejections(run_id, words), highlight=False, crop=False)


async def _latest(dsn: str, limit: int) -> list[RunRow]:
    async with open_ledger(dsn) as ledger:
        return await ledger.runs(limit)


async def _one(
    dsn: str, run_id: str
) -> tuple[RunRow, list[StageProgress], dict[str, dict[str, int]], list[str], list[CombinedExports]]:
    """The run, how far its stages are, its refused rows by dataset and reason, the migrations that it waits for, and its
    combined exports.

    Raises `CommandError` if the ledger does not know the run.
    """
    async with open_ledger(dsn) as ledger:
        run = await ledger.require_run(run_id)
        stages = await ledger.progress(run_id)
        pending = environment.pending_migrations() if run.status == "running" else None
        waits = [] if pending is None else await pending.find(ledger, run_id, by_key(stages))
        rejected = await ledger.rejections(run_id)
        return run, stages, rejected, waits, await ledger.combined_exports(run_id)


def render_combined(run_id: str, combined: Sequence[CombinedExports]) -> RenderableType:
    """The manifest of each, or why there is none and how to try again."""
    lines = [Text("combined exports", "bold")]
    for one in combined:
        name = f"  {one.dataset} {one.format}  "
        if one.status == "done":
            what = Text(f"{quantity(one.files, 'file')}: {one.manifest}")
        else:
            what = Text(f"failed: {one_line(one.detail or '')}", "yellow")
        lines.append(Text.assemble(name, what, no_wrap=True, overflow="ignore"))
    if any(one.status == "failed" for one in combined):
        again = f"  onpoint exports combine {run_id} tries again"
        lines.append(Text(again, "dim", no_wrap=True, overflow="ignore"))
    return Group(*lines)


def document(run: RunRow) -> dict[str, Any]:
    """A run as `onpoint runs --json` shows it. Times are UTC."""

    def when(value: datetime | None) -> str | None:
        return utc_text(value) if value else None

    return {
        "run_id": run.run_id,
        "status": run.status,
        "reason": run.reason,
        "requested_by": run.requested_by,
        "requested_at": when(run.requested_at),
        "started_at": when(run.started_at),
        "finished_at": when(run.finished_at),
        "datasets": list(run.datasets),
        "replay_of": run.replay_of,
        "superseded_by": run.superseded_by,
        "rows_accepted": run.rows_accepted,
    }


def snapshot(
    run: RunRow, stages: Sequence[StageProgress], now: datetime, waits: Sequence[str] = ()
) -> Snapshot:
    """The run at this moment."""
    elapsed_s = max(0.001, (now - run.requested_at).total_seconds())
    found = by_key(stages)
    return Snapshot(
        run_id=run.run_id,
        status=run.state,
        elapsed_s=elapsed_s,
        datasets=run.datasets,
        stages=found,
        estimates=estimates_of(found),
        phase=phase(run, found, elapsed_s),
        note="\n".join(waits) or None,
    )


def render_runs(found: Sequence[RunRow], now: datetime, *, width: int) -> RenderableType:
    """Ids are shown whole, to be copied; the names of the datasets take what is left of the line."""
    wide = width >= WIDE
    rows = [number(run.rows_accepted) if run.rows_accepted is not None else "" for run in found]
    took = [duration(((run.finished_at or now) - run.requested_at).total_seconds()) for run in found]
    others = (9, 16 if wide else 11, max(4, *map(len, took)), max(4, *map(len, rows)))
    gap = 2 if wide else 1
    room = width - sum(others) - gap * (len(others) + 1)
    longest = max(len(run.run_id) for run in found)
    widths = (max(3, min(longest, MAX_ID_WIDTH if wide else 28, room - LEAST_ROOM)), *others)
    room = max(LEAST_ROOM, room - widths[0])
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="dim")
    headings = ("run", "status", "asked (UTC)", "took", "rows")
    for heading, column_width in zip(headings, widths, strict=True):
        align: Literal["left", "right"] = "right" if heading in {"took", "rows"} else "left"
        table.add_column(heading, width=column_width, justify=align, overflow="fold")
    table.add_column("datasets" if room >= len("datasets") else "sets", no_wrap=True)
    for run, count, seconds in zip(found, rows, took, strict=True):
        table.add_row(
            run.run_id,
            Text(run.state, STATUS_STYLE.get(run.state, "").removeprefix("bold ")),
            f"{run.requested_at.astimezone(UTC):{'%Y-%m-%d %H:%M' if wide else '%m-%d %H:%M'}}",
            seconds,
            count,
            Text(fitting(run.datasets, room), "dim"),
        )
    return table


def fitting(names: Sequence[str], room: int) -> str:
    """As many of the names as fit, then how many more there are."""
    whole = ", ".join(names)
    if len(whole) <= room:
        return whole
    for shown in range(len(names) - 1, 0, -1):
        text = f"{', '.join(names[:shown])} +{len(names) - shown}"
        if len(text) <= room:
            return text
    return str(len(names))
