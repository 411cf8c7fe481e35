"""`onpoint replay`: a new run from what another one has stored."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, cast, get_args

import typer

from console.cli import environment
from console.cli.arguments import parse_formats, requester
from console.cli.errors import WrongUseError
from console.cli.options import ResultAsJson, Timeout, Wait, require_wait
from console.cli.submit import submit_and_report
from console.client.replay import choose_datasets, find_run, require_stored
from console.client.run_request import RunRequest, check_run_id, new_run_id
from console.formatting import did_you_mean, listed
from shared.events.names import SUPPORTED_FORMATS
from shared.events.topology import ReplayStage, stages_of

STAGES: tuple[str, ...] = get_args(ReplayStage)

EXAMPLES = """\b
Examples:
  onpoint replay 2026-11-23 --from loader --wait      load it again
  onpoint replay 2026-11-23 --from processor          with rules that changed
  onpoint replay 2026-11-23 --from converter --dataset posts --formats csv

\b
The source is not asked again: the new run begins with what the old one
stored before that stage, for as long as it is kept. Only that stage runs, and
what depends on it: converter writes exports, loader fills PostgreSQL, s3sink
writes the lake, processor does all three. In PostgreSQL the newer run wins;
the lake keeps both, and the old listing names the new run where that wrote
the lake.

\b
Exit codes: as `onpoint run`; 1 also where there is no such run.
"""


def register(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(replay)


def replay(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id of the old run.", show_default=False)],
    *,
    from_stage: Annotated[
        str,
        typer.Option("--from", metavar="STAGE", help=f"{', '.join(STAGES)}.", show_default=False),
    ],
    dataset: Annotated[
        list[str] | None,
        typer.Option("--dataset", metavar="D", help="Only this one; repeatable. Absent: all of the run."),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--formats",
            metavar="F,...",
            help=f"Exports to write: {', '.join(SUPPORTED_FORMATS)}; absent: those of the old run.",
        ),
    ] = None,
    run_id: Annotated[
        str | None,
        typer.Option("--run-id", metavar="ID", help="Name of the new run. The same one twice is one run."),
    ] = None,
    wait: Wait = False,
    timeout: Timeout = None,
    as_json: ResultAsJson = False,
) -> None:
    """Do a stage of a run and what depends on it again, as a new run, from what it has stored."""
    require_wait(timeout, wait=wait)
    if from_stage not in STAGES:
        raise WrongUseError(
            f"a replay cannot begin at {from_stage}{did_you_mean(from_stage, STAGES) or ': only at ' + listed(STAGES)}"
        )
    new_id = check_run_id(run_id) if run_id is not None else new_run_id(datetime.now(UTC))
    if new_id == run:
        raise WrongUseError("the replay is a new run: it cannot have the id of the old one")
    wanted = parse_formats(formats or [])
    if wanted and "converter" not in stages_of(cast("ReplayStage", from_stage)):
        raise WrongUseError(
            f"--formats is of use only where exports are written, not in a replay from {from_stage}"
        )
    dsn = environment.ledger_dsn()
    old, progress = asyncio.run(find_run(dsn, check_run_id(run)))
    datasets = choose_datasets(old, dataset or [])
    require_stored(old, progress, datasets, from_stage)
    request = RunRequest(
        run_id=new_id,
        datasets=datasets,
        requested_by=requester(),
        formats=wanted,
        replay_of=run,
        from_stage=from_stage,
    )
    raise typer.Exit(
        submit_and_report(
            request, may_exist=run_id is not None, wait=wait, timeout_s=timeout, as_json=as_json
        )
    )
