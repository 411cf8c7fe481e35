"""`onpoint cdc`: change capture of the tables, from its registration to its proof."""

from typing import Annotated, Literal

import typer

from console.cli.cdc import registration

REGISTER_EXAMPLES = """\b
Examples:
  onpoint cdc register                    every table whose name begins with onpoint_
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
    registration.register(tables or [], identity, replication)


@cdc.command(epilog=RESTART_EXAMPLES)
def restart() -> None:
    """Start the connector again."""
    registration.restart()


@cdc.command(epilog=REMOVE_EXAMPLES)
def remove() -> None:
    """End change capture, and let PostgreSQL drop what it keeps for it."""
    registration.remove()
