"""Which process does what in the database, for an installation where each has a role of its own.

Users are those of `shared.events.access`. The owner of the tables, who runs `onpoint migrate`, needs none of it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from shared.postgres.identifiers import quote

READ: Final = ("SELECT",)
KEEP: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")
LOAD: Final = ("SELECT", "INSERT", "UPDATE")


@dataclass(frozen=True, slots=True)
class SchemaRight:
    """On the tables and views of one schema that are named."""

    schema: str
    verbs: tuple[str, ...]
    tables: tuple[str, ...] | None = None
    """None: all, also those of later migrations."""


@dataclass(frozen=True, slots=True)
class RoleRights:
    schemas: tuple[SchemaRight, ...]
    datasets: tuple[str, ...] = ()
    """Verbs on the tables of datasets."""
    functions: tuple[str, ...] = ()
    makes_temporary_tables: bool = False


_VIEWS_OF_RUNS: Final = SchemaRight(
    "onpoint_runs",
    READ,
    (
        "v_audit_results", "v_combined_exports", "v_files", "v_freshness", "v_listings", "v_progress", "v_refusals",
        "v_results", "v_runs", "v_stage_times", "v_sweep_runs", "v_unmatched_failures", "v_usual", "v_waiting",
    ),
)  # fmt: skip
_VIEWS_OF_LAKE: Final = SchemaRight(
    "onpoint_lake",
    READ,
    (
        "v_audit_batches", "v_audit_compactions", "v_audit_objects", "v_compacted_files", "v_replaced_files",
        "v_stored_files",
    ),
)  # fmt: skip
_COMPACTION: Final = SchemaRight(
    "onpoint_lake",
    KEEP,
    (
        "compactions", "compaction_runs", "compaction_sources", "dataset_listings", "iceberg_namespace_properties",
        "iceberg_tables",
    ),
)  # fmt: skip
_NEWS: Final = SchemaRight("onpoint_news", KEEP)
_ANNOUNCES: Final = ("onpoint_lake.mark_changed(text[])", "onpoint_runs.mark_listings_behind(text[])")

_CONSOLE: Final = (
    _VIEWS_OF_RUNS,
    _VIEWS_OF_LAKE,
    SchemaRight("onpoint_loader", READ, ("v_audit_batches",)),
    SchemaRight("onpoint_console", KEEP),
)

ROLE_RIGHTS: Final[Mapping[str, RoleRights]] = {
    "loader": RoleRights(
        (SchemaRight("onpoint_loader", KEEP),),
        datasets=LOAD,
        functions=("onpoint_loader.evolve_column(text, text, text)",),
        makes_temporary_tables=True,
    ),
    "s3sink": RoleRights((SchemaRight("onpoint_lake", KEEP),)),
    "cdc": RoleRights((SchemaRight("onpoint_lake", KEEP, ("cdc_tables", "cdc_objects")),)),
    "quality": RoleRights(
        (SchemaRight("onpoint_runs", KEEP), _NEWS, _VIEWS_OF_LAKE, _COMPACTION),
        datasets=READ,
        functions=_ANNOUNCES,
    ),
    "console": RoleRights(_CONSOLE, datasets=READ),
    "operator": RoleRights(
        (
            *_CONSOLE,
            # Of which `onpoint health` makes its figures.
            SchemaRight("onpoint_runs", READ, ("datasets", "results", "runs")),
            _NEWS,
            _COMPACTION,
            SchemaRight("onpoint_lake", KEEP, ("cdc_tables", "cdc_objects")),
        ),
        datasets=READ,
        functions=(*_ANNOUNCES, "onpoint_runs.announce_again()"),
    ),
}
"""Who is not here has no business with the database."""


def statements(roles: Mapping[str, str], tables: Iterable[str], database: str) -> list[str]:
    """GRANTs for the owner of the tables to run, after `onpoint migrate`; safe to repeat.

    `roles`: the role of each user; `tables`: of the datasets.
    """
    known = sorted(tables)
    return [
        statement
        for user, role in roles.items()
        for statement in _of_role(ROLE_RIGHTS[user], quote(role), known, quote(database))
    ]


def _of_role(rights: RoleRights, role: str, tables: list[str], database: str) -> Iterator[str]:
    yield f"GRANT CONNECT ON DATABASE {database} TO {role}"
    if rights.makes_temporary_tables:
        yield f"GRANT TEMPORARY ON DATABASE {database} TO {role}"
    # Every process waits until its migrations are there.
    for right in (SchemaRight("onpoint_meta", READ, ("migrations",)), *rights.schemas):
        yield from _of_schema(right, role)
    if rights.datasets:
        yield f"GRANT USAGE ON SCHEMA public TO {role}"
        for table in tables:
            yield f"GRANT {', '.join(rights.datasets)} ON public.{quote(table)} TO {role}"
    for function in rights.functions:
        yield f"GRANT EXECUTE ON FUNCTION {function} TO {role}"


def _of_schema(right: SchemaRight, role: str) -> Iterator[str]:
    schema, verbs = quote(right.schema), ", ".join(right.verbs)
    yield f"GRANT USAGE ON SCHEMA {schema} TO {role}"
    if right.tables is not None:
        for table in right.tables:
            yield f"GRANT {verbs} ON {schema}.{quote(table)} TO {role}"
        return
    yield f"GRANT {verbs} ON ALL TABLES IN SCHEMA {schema} TO {role}"
    yield f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT {verbs} ON TABLES TO {role}"
    yield f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}"
    yield f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT USAGE ON SEQUENCES TO {role}"
