"""A dataset's table of Apache Iceberg, by pyiceberg. The catalog compares and sets the place of its newest metadata."""

import time
from collections.abc import Callable, Collection, Sequence
from datetime import datetime

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    CommitStateUnknownException,
    NoSuchTableError,
    RESTError,
    TableAlreadyExistsError,
)
from pyiceberg.io.pyarrow import parquet_files_to_data_files, schema_to_pyarrow
from pyiceberg.table import Table
from requests.exceptions import RequestException
from sqlalchemy.exc import DBAPIError

from shared.lake.tables.errors import TableRefusedError, TableUnavailableError, translated
from shared.lake.tables.port import TableFile, TableState, without_needs

MARKER = "onpoint.name"
"""Property of the snapshot that a commit made: the name of the object or of the compaction."""

# A commit that pyiceberg repeats by itself would not look for the marker again.
SINGLE_TRY = {"commit.retry.num-retries": "0"}

PROPERTIES = {
    **SINGLE_TRY,
    "format-version": "2",
    "commit.manifest-merge.enabled": "true",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
}
"""Of a new table: what would grow with every commit stays bounded."""

SNAPSHOTS_KEPT = 50
"""Up to twice as many are there: pyiceberg copies all of them several times for each commit. Their files stay."""

OUTAGES = (CommitFailedException, CommitStateUnknownException, RESTError, RequestException, DBAPIError)


class IcebergTable:
    def __init__(self, catalog: Callable[[], Catalog], identifier: tuple[str, str], location: str) -> None:
        """`location` is the dataset's folder; `catalog` opens the one that the settings name."""
        self._catalog = catalog
        self._identifier = identifier
        self._location = location

    def prepare(self, schema: pa.Schema) -> None:
        with translated(self._location, OUTAGES):
            table = self._find() or self._make(schema)
            known = {
                field.name: field.type for field in schema_to_pyarrow(table.schema(), include_field_ids=False)
            }
            for field in schema:
                if not _is_same(found := known.get(field.name, field.type), field.type):
                    raise TableRefusedError(
                        f"{self._location}: column {field.name} is {_small(found)} in the table and {field.type} in the "
                        "dataset: give the column another name"
                    )
            new = [field for field in without_needs(schema) if field.name not in known]
            if new:
                with table.update_schema() as update:
                    update.union_by_name(pa.schema(new))

    def append(self, name: str, files: Sequence[TableFile], at: datetime, *, fresh_until_s: float) -> None:  # noqa: ARG002 - the catalog keeps its own time
        with translated(self._location, OUTAGES):
            table = self._open()
            uris = [file.uri for file in files]
            # Asked after the table was opened: a later commit of another process makes this one fail.
            is_fresh = time.monotonic() < fresh_until_s
            # Snapshots expire. The files of an object that is not announced are in the table, or never were.
            if _has_marker(table, name) or not (is_fresh or _paths(table).isdisjoint(uris)):
                return
            table.add_files(uris, snapshot_properties={MARKER: name}, check_duplicate_files=False)

    def replace(
        self,
        name: str,
        sources: Collection[str],
        file: TableFile,
        at: datetime,  # noqa: ARG002 - as above
        *,
        is_reduced: bool,  # noqa: ARG002 - what readers of changes make of it is Delta's
    ) -> None:
        with translated(self._location, OUTAGES):
            table = self._open()
            if _has_marker(table, name):
                return
            there = {task.file.file_path: task.file for task in table.scan().plan_files()}
            if file.uri in there:
                return
            if lacking := sorted(set(sources) - there.keys()):
                raise TableRefusedError(f"{self._location}: {lacking[0]} is not in the table")
            change = table.transaction()
            with change.update_snapshot(snapshot_properties={MARKER: name}).overwrite() as snapshot:
                for uri in sources:
                    snapshot.delete_data_file(there[uri])
                for made in parquet_files_to_data_files(table.io, change.table_metadata, iter([file.uri])):
                    snapshot.append_data_file(made)
            change.commit_transaction()

    def state(self) -> TableState | None:
        with translated(self._location, OUTAGES):
            table = self._find()
            if table is None:
                return None
            snapshot = table.current_snapshot()
            return TableState("" if snapshot is None else str(snapshot.snapshot_id), _paths(table))

    def _make(self, schema: pa.Schema) -> Table:
        catalog = self._catalog()
        catalog.create_namespace_if_not_exists(self._identifier[0])
        try:
            return catalog.create_table(
                self._identifier, without_needs(schema), location=self._location, properties=PROPERTIES
            )
        except TableAlreadyExistsError:
            return catalog.load_table(self._identifier)

    def _find(self) -> Table | None:
        """Raises `TableRefusedError` for a table of this name that is of other files."""
        try:
            table = self._catalog().load_table(self._identifier)
        except NoSuchTableError:
            return None
        if table.location().rstrip("/") != self._location:
            name = ".".join(self._identifier)
            raise TableRefusedError(
                f"{name} is a table at {table.location()}, and the dataset is at {self._location}"
            )
        return table

    def _open(self) -> Table:
        """Raises `TableUnavailableError` where the table is not there any more."""
        if (table := self._find()) is None:
            raise TableUnavailableError(f"{self._location}: the table was there and is gone")
        if not SINGLE_TRY.items() <= table.properties.items():
            with table.transaction() as change:
                change.set_properties(SINGLE_TRY)
        snapshots = sorted(table.snapshots(), key=lambda one: one.sequence_number or 0)
        if len(snapshots) >= 2 * SNAPSHOTS_KEPT:
            old = [one.snapshot_id for one in snapshots[:-SNAPSHOTS_KEPT]]
            table.maintenance.expire_snapshots().by_ids(old).commit()
        return table


def _has_marker(table: Table, name: str) -> bool:
    return any(one.summary is not None and one.summary[MARKER] == name for one in table.snapshots())


def _paths(table: Table) -> frozenset[str]:
    return frozenset(task.file.file_path for task in table.scan().plan_files())


def _is_same(one: pa.DataType, other: pa.DataType) -> bool:
    """Texts, bytes and lists have two sizes in Arrow, and one in Iceberg."""
    if isinstance(one, pa.ListType | pa.LargeListType) and isinstance(other, pa.ListType | pa.LargeListType):
        return _is_same(one.value_type, other.value_type)
    if isinstance(one, pa.StructType) and isinstance(other, pa.StructType):
        return [field.name for field in one] == [field.name for field in other] and all(
            _is_same(mine.type, theirs.type) for mine, theirs in zip(one, other, strict=True)
        )
    return _small(one) == _small(other)


def _small(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_large_string(kind):
        return pa.string()
    return pa.binary() if pa.types.is_large_binary(kind) else kind
