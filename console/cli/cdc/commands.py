"""`onpoint cdc`: change capture of the tables, from its registration to its proof."""

from typing import Annotated, Literal

import typer

from console.cli.errors import WrongUseError
from console.cli.options import ObjectAsJson

REGISTER_EXAMPLES = """\b
Examples:
  onpoint cdc register                    every table named onpoint_…
  onpoint cdc register onpoint_posts crm.orders
  onpoint cdc register --identity key     deletes come with their key alone

\b
Safe to repeat: what is there already stays as it is. Needs a login that owns
the tables; the role onpoint_cdc is made where you may make roles.
Exit codes: 0 it runs; 1 it does not; 2 wrong use.
"""

RESTART_EXAMPLES = """\b
Examples:
  onpoint cdc restart    after an outage that it did not survive

\b
It goes on where it stopped: nothing is read again.
"""

REMOVE_EXAMPLES = """\b
Examples:
  onpoint cdc remove

\b
The connector, its position, the replication slot and the publication go.
Objects in the lake, the topics, the role and the tables stay. To register
again begins with a full load.
"""

RESNAPSHOT_EXAMPLES = """\b
Examples:
  onpoint cdc resnapshot onpoint_posts    one table, while the others go on
  onpoint cdc resnapshot --all            after the replication slot was lost

\b
A mark in the table's changes (Op T) says that what was before counts no
more; then every row comes as an insert. `onpoint cdc verify` tells when the
lake is equal again.
"""

STATUS_EXAMPLES = """\b
Examples:
  onpoint cdc status
  onpoint cdc status --json | jq .slot.lag_bytes

\b
Exit codes: 0 all is well; 1 something is not; 2 wrong use.
"""

VERIFY_EXAMPLES = """\b
Examples:
  onpoint cdc verify onpoint_posts
  onpoint cdc verify crm.orders --json | jq .shown

\b
The table is compared as it was at one moment; writers wait for that moment
alone. Columns that tell where a row came from are not compared. Timestamps
are compared to the millisecond, which is what the lake has.
Exit codes: 0 equal; 1 not, or not known; 2 wrong use.
"""

cdc = typer.Typer(help="Change capture of tables.", no_args_is_help=True, rich_markup_mode=None)

Tables = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[TABLE]...", help="Tables to capture; absent: all onpoint_* in public.", show_default=False
    ),
]


def register(app: typer.Typer) -> None:
    app.add_typer(cdc, name="cdc")


@cdc.command("register", epilog=REGISTER_EXAMPLES)
def register_(
    tables: Tables = None,
    *,
    identity: Annotated[
        Literal["full", "key"],
        typer.Option("--identity", help="Old values that PostgreSQL logs of a changed row: all, or its key."),
    ] = "full",
    replication: Annotated[
        int, typer.Option("--replication", metavar="N", min=1, help="Replicas of the topics that it makes.")
    ] = 1,
) -> None:
    """Begin to capture changes of tables: a full load of each, then every insert, update and delete."""
    from console.cli.cdc import registration

    registration.register(tables or [], identity, replication)


@cdc.command(epilog=RESTART_EXAMPLES)
def restart() -> None:
    """Start the connector again."""
    from console.cli.cdc import registration

    registration.restart()


@cdc.command(epilog=REMOVE_EXAMPLES)
def remove() -> None:
    """End change capture, and let PostgreSQL drop what it keeps for it."""
    from console.cli.cdc import registration

    registration.remove()


@cdc.command(epilog=STATUS_EXAMPLES)
def status(*, as_json: ObjectAsJson = False) -> None:
    """Show the connector, the replication slot, and how much of each table is in the lake."""
    from console.cli.cdc import status as shown

    raise typer.Exit(shown.status(as_json=as_json))


@cdc.command(epilog=VERIFY_EXAMPLES)
def verify(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="Table to prove.", show_default=False)],
    *,
    timeout: Annotated[
        float,
        typer.Option("--timeout", metavar="S", min=1, help="Seconds to wait until the lake has everything."),
    ] = 180.0,
    as_json: ObjectAsJson = False,
) -> None:
    """Rebuild a table from the lake, and compare every value with PostgreSQL."""
    from console.cli.cdc import proof

    raise typer.Exit(proof.verify(table, timeout, as_json=as_json))


@cdc.command(epilog=RESNAPSHOT_EXAMPLES)
def resnapshot(
    table: Annotated[
        str | None, typer.Argument(metavar="[TABLE]", help="Table to load anew.", show_default=False)
    ] = None,
    *,
    all_: Annotated[
        bool, typer.Option("--all", help="Every captured table, with a new replication slot.")
    ] = False,
) -> None:
    """Load a table anew, as after a gap."""
    if (table is None) != all_:
        raise WrongUseError("name one table, or give --all")
    from console.cli.cdc import registration

    registration.resnapshot(table)
