"""`onpoint dlq list | show | replay | discard`."""

from typing import Annotated

import typer

from console.cli.errors import FAILED, SUCCESS, WrongUseError
from shared.events.topology import SERVICES

MAX_REASON_CHARS = 500

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
    typer.Argument(
        metavar="ENTRY", help="Names as `onpoint dlq list` shows them: loader:3:42.", show_default=False
    ),
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
    from console.cli.dlq import actions, options

    actions.list_dead_letters(options.filters_of(service, run, stage, reason, state), limit, as_json=as_json)


@app.command(epilog=SHOW_EXAMPLES)
def show(
    entry: Annotated[
        str,
        typer.Argument(
            metavar="ENTRY", help="Its name as `onpoint dlq list` shows it: loader:3:42.", show_default=False
        ),
    ],
    *,
    rows: Annotated[
        int,
        typer.Option("--rows", metavar="N", min=0, max=1000, help="Rows of its data to show, 1,000 at most."),
    ] = 3,
    headers: Annotated[bool, typer.Option("--headers", help="Show the record's headers too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one: why it died, what it says, and the first rows of the data behind it."""
    from console.cli.dlq import actions
    from console.client.dead_letters.record import parse_position

    actions.show_dead_letter(parse_position(entry), rows, with_headers=headers, as_json=as_json)


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
    from console.cli.dlq import actions, options
    from console.client.dead_letters.record import parse_position

    asked = options.select(
        [parse_position(text) for text in entries or ()],
        options.filters_of(service, run, stage, reason, state),
        everything=everything,
        limit=limit,
        verb="replay",
    )
    per_s = options.parse_rate(rate) if rate is not None else None
    all_sent = actions.replay_dead_letters(asked, per_s, dry_run=dry_run, yes=yes, as_json=as_json)
    raise typer.Exit(SUCCESS if all_sent else FAILED)


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
    from console.cli.dlq import actions, options
    from console.client.dead_letters.record import parse_position

    if not why.strip() or len(why) > MAX_REASON_CHARS:
        raise WrongUseError(f"--reason must give the reason, in {MAX_REASON_CHARS} characters at most")
    if why.strip() in options.CODES:
        raise WrongUseError(
            f"--reason is a text for people; to choose dead letters by their code, write --code {why}"
        )
    asked = options.select(
        [parse_position(text) for text in entries or ()],
        options.filters_of(service, run, stage, code, state),
        everything=everything,
        limit=limit,
        verb="discard",
    )
    actions.discard_dead_letters(asked, why.strip(), dry_run=dry_run, yes=yes, as_json=as_json)
