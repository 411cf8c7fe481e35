"""`onpoint verify`: runs the checker and shows its findings."""

import asyncio
import json
import logging
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from console.cli import environment
from console.cli.errors import FAILED, SUCCESS, WrongUseError
from console.cli.result import print_json
from console.formatting import listed
from console.verify.findings import INVARIANTS, Findings

EXAMPLES = """\b
Examples:
  onpoint verify --source posts=posts.jsonl         every run, posts held against their source
  onpoint verify RUN --source-folder records/       one run; records/DATASET.jsonl
  onpoint verify --only I6 --only I7                the topics alone
  onpoint verify --snapshot > before.json           and after some work:
  onpoint verify --baseline before.json --logs .onpoint/logs --secrets-file planted.txt

\b
A source file holds the records as the API answers them, one JSON value per line, in the
source's order. Without one, PostgreSQL and the lake are held against each other.
The pipeline should be at rest: what is on its way is reported as missing.
Exit code 0: everything holds, 1: something does not, 2: wrong use.
"""


Runs = Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help="These runs; none: all of them.")]
Source = Annotated[
    list[str] | None,
    typer.Option("--source", metavar="DATASET=FILE", help="The source's records, as JSON lines."),
]
SourceFolder = Annotated[
    Path | None, typer.Option(help="Folder with a DATASET.jsonl for each dataset.", metavar="DIR")
]
BadEvents = Annotated[
    Path | None,
    typer.Option(
        help="Events that were published to be refused: JSON lines of topic, partition, offset, value (base64).",
        metavar="FILE",
    ),
]
Observed = Annotated[
    Path | None,
    typer.Option(
        help="What was seen at each run.completed: JSON lines of run_id, rows ({dataset: n}), listing (true).",
        metavar="FILE",
    ),
]
Logs = Annotated[Path | None, typer.Option(help="Folder of the services' logs.", metavar="DIR")]
SecretsFile = Annotated[
    Path | None, typer.Option(help="What must not be in the logs, one a line.", metavar="FILE")
]
Baseline = Annotated[
    Path | None, typer.Option(help="A snapshot of the processes to compare with.", metavar="FILE")
]
Snapshot = Annotated[
    bool, typer.Option("--snapshot", help="Print a snapshot of the processes, check nothing.")
]
ExpectedRestarts = Annotated[
    int, typer.Option(metavar="N", min=0, help="So many processes were killed since the baseline.")
]
SweepAgeHours = Annotated[
    float | None,
    typer.Option(
        metavar="N",
        min=0,
        help="An object that nothing names is no finding up to this age.",
        show_default="24, and two intervals of the scheduled sweep",
    ),
]
Only = Annotated[
    list[str] | None, typer.Option("--only", metavar="I1", help="Only this invariant; may be repeated.")
]
AsJson = Annotated[bool, typer.Option("--json", help="A JSON object with every violation.")]


def register(app: typer.Typer) -> None:
    app.command(name="verify", epilog=EXAMPLES)(command)


def command(
    runs: Runs = None,
    *,
    source: Source = None,
    source_folder: SourceFolder = None,
    bad_events: BadEvents = None,
    observed: Observed = None,
    logs: Logs = None,
    secrets_file: SecretsFile = None,
    baseline: Baseline = None,
    snapshot: Snapshot = False,
    expected_restarts: ExpectedRestarts = 0,
    sweep_age_hours: SweepAgeHours = None,
    only: Only = None,
    as_json: AsJson = False,
) -> None:
    """Check that everything is where it belongs, once, and that everybody says so."""
    import structlog

    from console.verify import process_usage
    from console.verify.dead_letters import read_bad_events
    from console.verify.logs import read_secrets
    from console.verify.verify import VerifyOptions, verify

    # The drivers' logs are for services; what a person should know is in the findings.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if snapshot:
        print_json(asyncio.run(_snapshot()))
        return
    if secrets_file is not None and logs is None:
        raise WrongUseError("--secrets-file needs --logs: where should they not be?")
    options = VerifyOptions(
        runs=runs or (),
        sources=_sources(source or [], source_folder),
        bad_events=None if bad_events is None else read_bad_events(bad_events),
        observed=[] if observed is None else _json_lines(observed),
        logs=logs,
        secrets=[] if secrets_file is None else read_secrets(secrets_file),
        baseline=None if baseline is None else process_usage.read_baseline(baseline),
        expected_restarts=expected_restarts,
        sweep_age=None if sweep_age_hours is None else timedelta(hours=sweep_age_hours),
        only=_invariants(only or []),
    )
    _show(asyncio.run(verify(options, environment)), as_json=as_json)


def _show(findings: Findings, *, as_json: bool) -> None:
    """Ends the command, with the exit code that the findings give."""
    from console.cli.verify import render

    if as_json:
        print_json(findings.as_dict())
    else:
        render.show(findings)
    raise typer.Exit(SUCCESS if findings.holds else FAILED)


async def _snapshot() -> dict[str, Any]:
    from console.client import postgres
    from console.verify import process_usage
    from console.verify.database import TIMEOUT_S, as_client_errors

    dsn = environment.ledger_dsn()
    with as_client_errors():
        connection = await postgres.connect(dsn, timeout_s=TIMEOUT_S, is_read_only=True)
    try:
        return process_usage.as_json(
            await process_usage.snapshot(connection, environment.service_processes())
        )
    finally:
        connection.terminate()


def _sources(named: list[str], folder: Path | None) -> dict[str, Path]:
    """Those of the folder, and the ones that are named."""
    found: dict[str, Path] = {}
    if folder is not None:
        if not folder.is_dir():
            raise WrongUseError(f"{folder} is not a folder")
        known = environment.catalog()
        found = {path.stem: path for path in sorted(folder.glob("*.jsonl")) if path.stem in known}
        if not found:
            raise WrongUseError(f"{folder} has no DATASET.jsonl of a dataset that is known here")
    for text in named:
        dataset, separator, path = text.partition("=")
        if not separator or not dataset or not path:
            raise WrongUseError(f"--source {text}: write DATASET=FILE, for example posts=posts.jsonl")
        found[dataset] = Path(path)
    return found


def _invariants(named: list[str]) -> frozenset[str]:
    if unknown := sorted(set(named) - set(INVARIANTS)):
        raise WrongUseError(f"there is no invariant {unknown[0]}: there are {listed(list(INVARIANTS))}")
    return frozenset(named or INVARIANTS)


def _json_lines(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise WrongUseError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise WrongUseError(f"{path}: no JSON lines: {error}") from error
