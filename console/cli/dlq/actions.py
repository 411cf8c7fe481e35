"""What the commands of dead letters do, once their options are parsed."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from console.cli import environment, screen
from console.cli.arguments import requester
from console.cli.dlq import document, render
from console.cli.errors import CommandError, InterruptedByUserError
from console.cli.result import print_json
from console.client.dead_letters import selection
from console.client.dead_letters.journal import open_journal
from console.client.dead_letters.preview import Preview
from console.client.dead_letters.queue import Entry, Filters, State
from console.client.dead_letters.record import Position
from console.client.dead_letters.replay import Outcome, ReplayRate, open_replayer
from console.client.dead_letters.selection import Selection, chosen
from console.client.dead_letters.topics import open_dead_letters
from console.client.errors import ClientError
from console.client.ledger import open_ledger
from console.formatting import listed, number, quantity
from shared.bus.kafka import KafkaClients
from shared.bus.messages import Record

DISCARDED_AT_ONCE = 1000
SHOWN = 10


def list_dead_letters(filters: Filters, limit: int, *, as_json: bool) -> None:
    """Print the latest `limit` dead letters."""
    found, counts = asyncio.run(_list(filters, limit))
    if as_json:
        print_json([document.entry(entry) for entry in found])
        return
    console = screen.stdout()
    if found:
        console.print(
            render.render_list(found, width=console.width, with_state=filters.state is None),
            highlight=False,
            crop=False,
        )
    console.print(
        render.summarised(len(found), counts, filters.state), style="dim", highlight=False, markup=False
    )


def show_dead_letter(position: Position, rows: int, *, with_headers: bool, as_json: bool) -> None:
    """Print one dead letter, with the first `rows` rows of its batch."""
    found, record, previews = asyncio.run(_show(position, rows))
    if found.dead_letter.position != position:
        _write(f"{position} died again since: this is its latest dead letter")
    if as_json:
        print_json(document.entry(found) | document.record(record) | document.data(previews))
    else:
        shown = render.render_entry(found, record, previews, with_headers=with_headers)
        screen.stdout().print(shown, highlight=False, crop=False)


def replay_dead_letters(
    asked: Selection, per_s: float | None, *, dry_run: bool, yes: bool, as_json: bool
) -> bool:
    """Send dead letters back; False where some could not be sent.

    Raises `InterruptedByUserError` on Ctrl-C, with how many were sent.
    """
    found = asyncio.run(_choose(asked))
    if dry_run:
        _report_dry_run(found, "replayed", as_json=as_json)
        return True
    outcome = Outcome()
    if found and _confirmed(found, "Send", "back", yes=yes):
        try:
            asyncio.run(_replay(found, ReplayRate(per_s), outcome, as_json=as_json))
        except KeyboardInterrupt as error:
            raise InterruptedByUserError(_so_far(outcome, found)) from error
        except ClientError as error:
            raise CommandError(f"{error}; {_so_far(outcome, found)}") from error
    _report_replay(outcome, as_json=as_json)
    return not outcome.refused


def discard_dead_letters(asked: Selection, why: str, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Put dead letters away, with the reason."""
    found = asyncio.run(_choose(asked))
    if dry_run:
        _report_dry_run(found, "discarded", as_json=as_json)
        return
    if found and _confirmed(found, "Put", "away", yes=yes):
        asyncio.run(_discard(found, why))
    if as_json:
        print_json({"discarded": [str(entry.dead_letter.position) for entry in found]})
    else:
        print(f"discarded {quantity(len(found), 'dead letter')}" if found else _nothing_fits())


def _report_replay(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        print_json(document.outcome(outcome))
        return
    services = sorted({position.service for position in outcome.replayed})
    if outcome.replayed:
        print(f"sent {quantity(len(outcome.replayed), 'dead letter')} back to {listed(services)}")
        print("see what becomes of them with `onpoint dlq list --state all`")
    elif not outcome.refused:
        print(_nothing_fits())
    for position, reason in list(outcome.refused.items())[:SHOWN]:
        _write(f"{position} was not replayed: {reason}")
    if len(outcome.refused) > SHOWN:
        _write(f"and {number(len(outcome.refused) - SHOWN)} more were not: --json lists them all")


def _report_dry_run(found: Sequence[Entry], done: str, *, as_json: bool) -> None:
    if as_json:
        print_json([document.entry(entry) for entry in found])
    elif not found:
        print(_nothing_fits())
    else:
        console = screen.stdout()
        console.print(
            render.render_list(found[:SHOWN], width=console.width, with_state=True),
            highlight=False,
            crop=False,
        )
        if len(found) > SHOWN:
            print(f"and {number(len(found) - SHOWN)} more")
        print(f"{quantity(len(found), 'dead letter')} would be {done}")


def _nothing_fits() -> str:
    return "no dead letter fits: nothing to do"


def _confirmed(found: Sequence[Entry], verb: str, where: str, *, yes: bool) -> bool:
    """Asks for confirmation before more than one. Raises `InterruptedByUserError` where it is denied."""
    if yes or len(found) == 1 or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    services = sorted({entry.dead_letter.position.service for entry in found})
    question = f"{verb} {quantity(len(found), 'dead letter')} of {listed(services)} {where}?"
    if not typer.confirm(question, err=True):
        raise InterruptedByUserError("nothing was done")
    return True


def _so_far(outcome: Outcome, found: Sequence[Entry]) -> str:
    return (
        f"{number(len(outcome.replayed))} of {quantity(len(found), 'dead letter')} were sent back; "
        "run the command again for the rest, which is safe"
    )


def _write(sentence: str) -> None:
    sys.stderr.write(f"onpoint: {sentence}\n")


def _addresses() -> tuple[KafkaClients, str]:
    """Kafka's clients and PostgreSQL's address."""
    kafka = environment.kafka()
    return kafka, environment.ledger_dsn()


async def _list(filters: Filters, limit: int) -> tuple[list[Entry], dict[State, int]]:
    kafka, dsn = _addresses()
    async with (
        open_dead_letters(kafka) as dead_letters,
        selection.open_queue(dead_letters, dsn, selection.services_of(filters)) as queue,
    ):
        found, counts = queue.latest(filters, limit), queue.count(replace(filters, state=None))
    if filters.run_id is not None and not any(counts.values()):
        async with open_ledger(dsn) as ledger:
            await ledger.require_run(filters.run_id)
    return found, counts


async def _show(position: Position, rows: int) -> tuple[Entry, Record | None, list[Preview]]:
    from console.client.dead_letters.artifact import preview, read_manifest

    kafka, dsn = _addresses()
    async with open_dead_letters(kafka) as dead_letters:
        (found,) = await selection.find(dead_letters, dsn, [position])
        record = None
        async for _, record_ in dead_letters.at([found.dead_letter.position]):
            record = record_
    manifest = read_manifest(record.value) if record is not None and rows else None
    if manifest is None:
        return found, record, []
    return found, record, await preview(environment.staging(), manifest, rows)


async def _choose(asked: Selection) -> list[Entry]:
    kafka, dsn = _addresses()
    async with open_dead_letters(kafka) as dead_letters:
        return await chosen(dead_letters, dsn, asked)


async def _replay(found: Sequence[Entry], rate: ReplayRate, outcome: Outcome, *, as_json: bool) -> None:
    kafka, dsn = _addresses()
    console = Console(stderr=True)
    async with (
        open_dead_letters(kafka) as dead_letters,
        open_journal(dsn) as journal,
        open_replayer(kafka, journal, actor=requester()) as replayer,
    ):
        with _progress(console, shown=console.is_terminal and not as_json) as progress:
            task = progress.add_task("replaying", total=len(found))

            def on_progress() -> None:
                progress.update(task, completed=len(outcome.replayed) + len(outcome.refused))

            await replayer.replay(
                [entry.dead_letter for entry in found], dead_letters, rate, outcome, on_progress
            )


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
            piece = [entry.dead_letter for entry in found[start : start + DISCARDED_AT_ONCE]]
            await journal.acknowledge(await journal.begin("discard", piece, actor=requester(), reason=why))
