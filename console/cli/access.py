"""`onpoint access`: who may do what on the bus, in the buckets and in the database."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from console.cli import environment
from console.cli.errors import FAILED, CommandError, WrongUseError
from console.formatting import did_you_mean, quantity

if TYPE_CHECKING:
    from shared.bus.access_admin import Difference
    from shared.events.access import Acl

SHOW_EXAMPLES = """\b
Examples:
  onpoint access show                        every user, and what it may do
  onpoint access show loader --json
  onpoint access show --strimzi my-cluster   KafkaUser resources, for kubectl
"""

APPLY_EXAMPLES = """\b
Examples:
  onpoint access apply --dry-run    what is missing, and what is too much
  onpoint access apply --prune
  onpoint access apply --principal 'CN={user},O=Example'
                                    users that log in by a certificate
"""

BUCKETS_EXAMPLES = """\b
Examples:
  onpoint access buckets
  onpoint access buckets --json
"""

GRANTS_EXAMPLES = """\b
Examples:
  onpoint access grants | psql "$OWNER_DSN"
  onpoint access grants --role 'onpoint_{user}' --database warehouse
"""

access = typer.Typer(
    help="Who may do what on the bus, in the buckets and in the database.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

LineageTopic = Annotated[
    str | None,
    typer.Option(
        "--lineage-topic",
        metavar="TOPIC",
        help="ONPOINT_LINEAGE_TOPIC of the lineage process, if it has one.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    app.add_typer(access, name="access")


@access.command(epilog=SHOW_EXAMPLES)
def show(
    users: Annotated[
        list[str] | None,
        typer.Argument(metavar="[USER]...", help="These users; absent: all.", show_default=False),
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    strimzi: Annotated[
        str | None,
        typer.Option(
            "--strimzi",
            metavar="CLUSTER",
            help="Print KafkaUser resources of this Strimzi cluster.",
            show_default=False,
        ),
    ] = None,
    lineage_topic: LineageTopic = None,
) -> None:
    """Show the users of the bus, and the least rights that each needs.

    Derived from the topics that each process reads and writes. Asks no broker.
    """
    chosen = _chosen(users or [], lineage_topic)
    if as_json and strimzi is not None:
        raise WrongUseError("choose --json or --strimzi")
    if as_json:
        from dataclasses import asdict

        from console.cli.result import print_json

        print_json({user: [asdict(acl) for acl in acls] for user, acls in chosen.items()})
    elif strimzi is not None:
        from console.strimzi import kafka_users

        print(kafka_users(chosen, strimzi), end="")
    else:
        _print_users(chosen)


@access.command(epilog=APPLY_EXAMPLES)
def apply(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; end with 1 if something differs.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove the rights of these users that they do not need.")
    ] = False,
    principal: Annotated[
        str, typer.Option("--principal", metavar="NAME", help="How the brokers call a user.")
    ] = "{user}",
    lineage_topic: LineageTopic = None,
) -> None:
    """Give each user of the bus its rights, by ACLs of the brokers.

    Needs Describe and Alter on the cluster. Adds what is missing, and names what is too much. ACLs of other users are not
    looked at, except those of everyone. Makes no user and no password. Safe to repeat.
    """
    from aiokafka.errors import KafkaError

    from console.client.kafka import reason
    from shared.bus import access_admin

    kafka = environment.kafka()
    wanted = access_admin.grants(_chosen([], lineage_topic), _checked(principal, "--principal"))
    try:
        found = asyncio.run(access_admin.compare(kafka, wanted))
        if not dry_run:
            asyncio.run(access_admin.apply(kafka, found, prune=prune))
    except (KafkaError, OSError) as error:
        raise CommandError(f"Kafka at {kafka.servers} could not be asked: {reason(error)}") from error
    _print_difference(found, dry_run=dry_run, prune=prune)
    of_users = len({grant.principal for grant in wanted})
    if dry_run and (found.missing or found.extra):
        print(f"{len(found.missing)} missing, {len(found.extra)} too many, of {of_users} users")
        raise typer.Exit(FAILED)
    print(f"{len(wanted)} rights of {of_users} users are in place, {len(found.missing)} of them new")


@access.command(epilog=BUCKETS_EXAMPLES)
def buckets(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show the keys of the buckets that each process uses.

    Policies of a store are made from it; `*` stands for any characters. Asks no store.
    """
    from shared.storage.access import KEY_RIGHTS

    if as_json:
        from dataclasses import asdict

        from console.cli.result import print_json

        print_json({user: [asdict(right) for right in rights] for user, rights in KEY_RIGHTS.items()})
        return
    for user, rights in KEY_RIGHTS.items():
        print(user)
        for right in rights:
            without = f" but not {', '.join(right.but_not)}" if right.but_not else ""
            print(f"  {', '.join(right.actions):19}  {right.bucket:7}  {right.keys}{without}")


@access.command(epilog=GRANTS_EXAMPLES)
def grants(
    *,
    role: Annotated[
        str, typer.Option("--role", metavar="NAME", help="How the role of a process is called.")
    ] = "{user}",
    database: Annotated[
        str, typer.Option("--database", metavar="NAME", help="Name of the database.")
    ] = "onpoint",
) -> None:
    """Print the SQL that gives each process its rights in the database.

    For the owner of the tables to run after `onpoint migrate`, and again for datasets that are new. The roles must exist: it
    makes none, and no password. Asks no database.
    """
    from shared.postgres.access import ROLE_RIGHTS, statements

    _checked(role, "--role")
    roles = {user: role.format(user=user) for user in ROLE_RIGHTS}
    tables = {dataset.table for dataset in environment.catalog().values()}
    for statement in statements(roles, tables, database):
        print(f"{statement};")


def _chosen(names: list[str], lineage_topic: str | None) -> "dict[str, tuple[Acl, ...]]":
    from shared.events.access import users

    every = users(lineage_topic)
    for name in names:
        if name not in every:
            raise WrongUseError(f"there is no user {name}{did_you_mean(name, every)}")
    return {user: acls for user, acls in every.items() if not names or user in names}


def _checked(name: str, option: str) -> str:
    try:
        if name.format(user="a") != name.format(user="b"):
            return name
    except (KeyError, IndexError, ValueError):
        pass
    raise WrongUseError(f"{option} must have {{user}} where the name of the user is, and no other braces")


def _print_users(chosen: "dict[str, tuple[Acl, ...]]") -> None:
    for user, acls in chosen.items():
        print(user)
        width = max(len(", ".join(acl.operations)) for acl in acls)
        for acl in acls:
            kind, begins = acl.resource.replace("_", " "), "*" if acl.pattern == "prefixed" else ""
            print(f"  {', '.join(acl.operations):{width}}  {kind} {acl.name}{begins}")


def _print_difference(found: "Difference", *, dry_run: bool, prune: bool) -> None:
    for grant in found.missing:
        print(f"{'missing' if dry_run else 'added'} {grant}")
    for grant in found.extra:
        print(f"{'removed' if prune and not dry_run else 'too much'} {grant}")
    for grant in found.of_everyone:
        print(f"of everyone {grant}")
    if not dry_run and not prune and found.extra:
        print(f"{quantity(len(found.extra), 'right')} left alone: --prune removes them")
