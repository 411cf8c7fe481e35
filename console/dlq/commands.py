"""`onpoint dlq list | show | replay | discard`."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from console import environment
from console.dlq import document, render, selection
from console.dlq.journal import open_journal
from console.dlq.letter import Position, parse_position
from console.dlq.preview import Preview
from console.dlq.queue import Entry, Filters, State
from console.dlq.replay import Outcome, Pace, open_replayer, parse_rate
from console.dlq.selection import CODES, Selection, chosen, filters_of, select
from console.dlq.topics import open_dead_letters
from console.errors import FAILED, CommandError, InterruptedByUserError, WrongUseError
from console.result import print_json
from console.words import listed, number, quantity
from deploy.local.names import SERVICES
from shared.bus.record import Record
from shared.settings.kafka import KafkaSettings
from shared.settings.postgres import PostgresSettings

DISCARDED_AT_ONCE = 1000
MAX_REASON_CHARS = 500
SHOWN = 10

app = typer.Typer(
    help="Dead letters: records that a service gave up on. Look at them, send them back, or put them away.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Service = Annotated[
    str | None, typer.Option("--service", metavar="S", help=f"Only of this service: {', '.join(SERVICES)}.")
]
Run = Annotated[str | None, typer.Option("--run", metavar="RUN", help="Only of this run.")]
Stage = Annotated[
    str | None, typer.Option("--stage", metavar="S", help="Only those that died at this stage.")
]
Reason = Annotated[
    str | None,
    typer.Option("--reason", "--code", metavar="C", help="Only with this code, such as object_missing."),
]
StateOption = Annotated[
    str,
    typer.Option("--state", metavar="S", help="open, replayed, resolved, discarded or all."),
]
Entries = Annotated[
    list[str] | None,
    typer.Argument(metavar="ENTRY", help="Dead letters by name: loader:3:42.", show_default=False),
]
All = Annotated[bool, typer.Option("--all", help="Every one that is open.")]
Limit = Annotated[int | None, typer.Option("--limit", "-n", metavar="N", min=1, help="The oldest N at most.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say which they are.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before more than one.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for programs.")]

LIST_EXAMPLES = """\b
Examples:
  onpoint dlq list                             what waits for somebody
  onpoint dlq list --run 2026-11-23 --state all
  onpoint dlq list --service loader --reason object_missing
  onpoint dlq list --json | jq -r '.[].entry'

\b
States: open, nobody did anything yet or it died again; replayed, sent back
and not known to be done; resolved, its batch got through; discarded, put
away.
"""

SHOW_EXAMPLES = """\b
Examples:
  onpoint dlq show loader:3:42
  onpoint dlq show loader:3:42 --rows 20
  onpoint dlq show loader:3:42 --json | jq -r .record.value
"""

REPLAY_EXAMPLES = """\b
Examples:
  onpoint dlq replay loader:3:42               one
  onpoint dlq replay --run 2026-11-23          all open ones of a run
  onpoint dlq replay --reason object_missing --dry-run
  onpoint dlq replay --all --rate 50/s --yes   all open ones, slowly

\b
Only the service that gave up gets it again. Safe to repeat: what is done
stays done. If it fails again it is a new, open dead letter of the same entry.

\b
Exit codes: 0 all were sent; 1 some could not be; 2 wrong use; 130 Ctrl-C.
"""

DISCARD_EXAMPLES = """\b
Examples:
  onpoint dlq discard loader:3:42 --reason "test data"
  onpoint dlq discard --run try-7 --reason "a run that nobody needs" --yes

\b
Nothing is deleted: they are no longer open, and a replay can bring them back.
"""


def register(parent: typer.Typer) -> None:
    parent.add_typer(app, name="dlq")


@app.command("list", epilog=LIST_EXAMPLES)
def list_(
    *,
    service: Service = None,
    run: Run = None,
    stage: Stage = None,
    reason: Reason = None,
    state: StateOption = "open",
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="N", min=1, help="The latest N at most.")
    ] = 20,
    as_json: AsJson = False,
) -> None:
    """List dead letters, latest first."""
    filters = filters_of(service, run, stage, reason, state)
    found, counts = asyncio.run(_list(filters, limit))
    if as_json:
        print_json([document.entry(entry) for entry in found])
        return
    console = Console()
    if found:
        console.print(
            render.render_list(found, width=console.width, with_state=filters.state is None),
            highlight=False,
            crop=False,
        )
    console.print(
        render.summarised(len(found), counts, filters.state), style="dim", highlight=False, markup=False
    )


@app.command(epilog=SHOW_EXAMPLES)
def show(
    entry: Annotated[str, typer.Argument(metavar="ENTRY", help="loader:3:42", show_default=False)],
    *,
    rows: Annotated[int, typer.Option("--rows", min=0, max=1000, help="Rows of its data to show.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Show one: why it died, what it says, and the first rows of the data behind it."""
    position = parse_position(entry)
    found, record, previews = asyncio.run(_show(position, rows))
    if found.letter.position != position:
        _note(f"{position} died again since: this is its latest letter")
    if as_json:
        print_json(document.entry(found) | document.record(record) | document.data(previews))
    else:
        Console().print(render.render_entry(found, record, previews), highlight=False, crop=False)


@app.command(epilog=REPLAY_EXAMPLES)
def replay(
    entries: Entries = None,
    *,
    service: Service = None,
    run: Run = None,
    stage: Stage = None,
    reason: Reason = None,
    state: StateOption = "open",
    everything: All = False,
    limit: Limit = None,
    dry_run: DryRun = False,
    rate: Annotated[
        str | None, typer.Option("--rate", metavar="N/s", help="So many a second at most.")
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters back to the service that gave up on them."""
    asked = select(
        [parse_position(text) for text in entries or ()],
        filters_of(service, run, stage, reason, state),
        everything=everything,
        limit=limit,
        verb="replay",
    )
    pace = Pace(parse_rate(rate) if rate is not None else None)
    found = asyncio.run(_choose(asked))
    if dry_run:
        _say_what_would_be(found, "replayed", as_json=as_json)
        return
    outcome = Outcome()
    if found and _confirmed(found, "Send", "back", yes=yes):
        try:
            asyncio.run(_replay(found, pace, outcome, as_json=as_json))
        except KeyboardInterrupt as error:
            raise InterruptedByUserError(_so_far(outcome, found)) from error
        except CommandError as error:
            raise CommandError(f"{error}; {_so_far(outcome, found)}") from error
    _report_replay(outcome, as_json=as_json)
    raise typer.Exit(FAILED if outcome.refused else 0)


@app.command(epilog=DISCARD_EXAMPLES)
def discard(
    entries: Entries = None,
    *,
    why: Annotated[
        str,
        typer.Option("--reason", metavar="TEXT", help="Why, for whoever looks later.", show_default=False),
    ],
    service: Service = None,
    run: Run = None,
    stage: Stage = None,
    code: Annotated[
        str | None, typer.Option("--code", metavar="C", help="Only with this code, such as object_missing.")
    ] = None,
    state: StateOption = "open",
    everything: All = False,
    limit: Limit = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Put dead letters away: nobody is to do anything about them."""
    if not why.strip() or len(why) > MAX_REASON_CHARS:
        raise WrongUseError(f"--reason must say why, in {MAX_REASON_CHARS} characters at most")
    if why.strip() in CODES:
        raise WrongUseError(
            f"--reason says why, for people; to choose dead letters by their code, write --code {why}"
        )
    asked = select(
        [parse_position(text) for text in entries or ()],
        filters_of(service, run, stage, code, state),
        everything=everything,
        limit=limit,
        verb="discard",
    )
    found = asyncio.run(_choose(asked))
    if dry_run:
        _say_what_would_be(found, "discarded", as_json=as_json)
        return
    if found and _confirmed(found, "Put", "away", yes=yes):
        asyncio.run(_discard(found, why.strip()))
    if as_json:
        print_json({"discarded": [str(entry.letter.position) for entry in found]})
    else:
        print(f"discarded {quantity(len(found), 'dead letter')}" if found else _none())


def _report_replay(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        print_json(document.outcome(outcome))
        return
    services = sorted({position.service for position in outcome.replayed})
    if outcome.replayed:
        print(f"sent {quantity(len(outcome.replayed), 'dead letter')} back to {listed(services)}")
        print("see what becomes of them with `onpoint dlq list --state all`")
    elif not outcome.refused:
        print(_none())
    for position, reason in list(outcome.refused.items())[:SHOWN]:
        _note(f"{position} was not replayed: {reason}")
    if len(outcome.refused) > SHOWN:
        _note(f"and {number(len(outcome.refused) - SHOWN)} more were not: --json lists them all")


def _say_what_would_be(found: Sequence[Entry], done: str, *, as_json: bool) -> None:
    if as_json:
        print_json([document.entry(entry) for entry in found])
    elif not found:
        print(_none())
    else:
        console = Console()
        console.print(
            render.render_list(found[:SHOWN], width=console.width, with_state=True),
            highlight=False,
            crop=False,
        )
        if len(found) > SHOWN:
            print(f"and {number(len(found) - SHOWN)} more")
        print(f"{quantity(len(found), 'dead letter')} would be {done}")


def _none() -> str:
    return "no dead letter fits: nothing to do"


def _confirmed(found: Sequence[Entry], verb: str, where: str, *, yes: bool) -> bool:
    """Asks a person before more than one. Raises `InterruptedByUserError` where they say no."""
    if yes or len(found) == 1 or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    services = sorted({entry.letter.position.service for entry in found})
    question = f"{verb} {quantity(len(found), 'dead letter')} of {listed(services)} {where}?"
    if not typer.confirm(question, err=True):
        raise InterruptedByUserError("nothing was done")
    return True


def _so_far(outcome: Outcome, found: Sequence[Entry]) -> str:
    return (
        f"{number(len(outcome.replayed))} of {quantity(len(found), 'dead letter')} were sent back; "
        "run the command again for the rest, which is safe"
    )


def _note(sentence: str) -> None:
    sys.stderr.write(f"onpoint: {sentence}\n")


def _addresses() -> tuple[str, str]:
    """Kafka's and PostgreSQL's."""
    servers = environment.settings(KafkaSettings).kafka_bootstrap_servers
    return servers, environment.settings(PostgresSettings).postgres_dsn.get_secret_value()


async def _list(filters: Filters, limit: int) -> tuple[list[Entry], dict[State, int]]:
    servers, dsn = _addresses()
    async with (
        open_dead_letters(servers) as letters,
        selection.open_queue(letters, dsn, selection.services_of(filters)) as queue,
    ):
        return queue.latest(filters, limit), queue.count(replace(filters, state=None))


async def _show(position: Position, rows: int) -> tuple[Entry, Record | None, list[Preview]]:
    from console.dlq.artifact import preview, read_manifest

    servers, dsn = _addresses()
    async with open_dead_letters(servers) as letters:
        (found,) = await selection.find(letters, dsn, [position])
        record = None
        async for _, record_ in letters.at([found.letter.position]):
            record = record_
    manifest = read_manifest(record.value) if record is not None and rows else None
    if manifest is None:
        return found, record, []
    return found, record, await preview(environment.staging(), manifest, rows)


async def _choose(asked: Selection) -> list[Entry]:
    servers, dsn = _addresses()
    async with open_dead_letters(servers) as letters:
        return await chosen(letters, dsn, asked)


async def _replay(found: Sequence[Entry], pace: Pace, outcome: Outcome, *, as_json: bool) -> None:
    servers, dsn = _addresses()
    console = Console(stderr=True)
    async with (
        open_dead_letters(servers) as letters,
        open_journal(dsn) as journal,
        open_replayer(servers, journal) as replayer,
    ):
        with _progress(console, shown=console.is_terminal and not as_json) as progress:
            task = progress.add_task("replaying", total=len(found))

            def said() -> None:
                progress.update(task, completed=len(outcome.replayed) + len(outcome.refused))

            await replayer.replay([entry.letter for entry in found], letters, pace, outcome, said)


def _progress(console: Console, *, shown: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not shown,
    )


async def _discard(found: Sequence[Entry], why: str) -> None:
    _, dsn = _addresses()
    async with open_journal(dsn) as journal:
        for start in range(0, len(found), DISCARDED_AT_ONCE):
            piece = [entry.letter for entry in found[start : start + DISCARDED_AT_ONCE]]
            await journal.acknowledge(await journal.begin("discard", piece, why))
