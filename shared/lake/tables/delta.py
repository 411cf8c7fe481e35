"""A dataset's table of Delta Lake, by delta-rs. Commits are conditional puts of the object store."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import orjson
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from shared.lake.tables.errors import TableRefusedError, TableUnavailableError, translated
from shared.lake.tables.port import TableFile, TableState, without_needs

MARKED = 1
"""Version of each transaction: an application of Delta's protocol is one object here, and commits once."""


class DeltaLakeTable:
    def __init__(self, location: str, options: Mapping[str, str]) -> None:
        """`location` is the dataset's folder, `options` are those of the object store."""
        self._location = location
        self._options = dict(options)

    def prepare(self, schema: pa.Schema) -> None:
        with translated(self._location, (DeltaError,)):
            table = self._find() or self._make(schema)
            types = {field.name: field.type for field in table.schema().fields}
            wanted = Schema.from_arrow(without_needs(schema)).fields
            for field in wanted:
                if (found := types.get(field.name, field.type)) != field.type:
                    raise TableRefusedError(
                        f"{self._location}: column {field.name} is {_spelled(found)} in the table and "
                        f"{_spelled(field.type)} in the dataset: give the column another name"
                    )
            if new := [field for field in wanted if field.name not in types]:
                table.alter.add_columns(new)

    def append(self, name: str, files: Sequence[TableFile], at: datetime, *, fresh_until_s: float) -> None:  # noqa: ARG002 - every marker stays
        with translated(self._location, (DeltaError,)):
            table = self._open()
            if table.transaction_version(_application(name)) is None:
                adds = [self._add(file, at, is_new=True) for file in files]
                self._commit(table, name, adds)

    def replace(
        self, name: str, sources: Collection[str], file: TableFile, at: datetime, *, is_reduced: bool
    ) -> None:
        with translated(self._location, (DeltaError,)):
            table = self._open()
            if table.transaction_version(_application(name)) is not None:
                return
            if lacking := sorted(set(sources) - set(table.file_uris())):
                raise TableRefusedError(f"{self._location}: {lacking[0]} is not in the table")
            moment = _milliseconds(at)
            gone = [RemoveAction(self._path(uri), is_reduced, moment) for uri in sources]
            self._commit(table, name, [self._add(file, at, is_new=is_reduced), *gone])

    def state(self) -> TableState | None:
        with translated(self._location, (DeltaError,)):
            table = self._find()
            return None if table is None else TableState(str(table.version()), frozenset(table.file_uris()))

    def _commit(self, table: DeltaTable, name: str, actions: Sequence[AddAction | RemoveAction]) -> None:
        """Of two commits with one marker the second fails, whichever version they began at."""
        properties = CommitProperties(
            custom_metadata={"onpoint": name}, app_transactions=[Transaction(_application(name), MARKED)]
        )
        table.create_write_transaction(list(actions), "append", table.schema(), commit_properties=properties)

    def _add(self, file: TableFile, at: datetime, *, is_new: bool) -> AddAction:
        # A column without bounds beside one with them is taken for empty by the reader that duckdb and pandas use, and
        # nested columns have none: so the log has the rows alone, and readers look into the footers.
        statistics = orjson.dumps({"numRecords": file.rows}).decode()
        return AddAction(self._path(file.uri), file.bytes, {}, _milliseconds(at), is_new, statistics)

    def _path(self, uri: str) -> str:
        return uri.removeprefix(f"{self._location}/")

    def _make(self, schema: pa.Schema) -> DeltaTable:
        try:
            return DeltaTable.create(
                self._location, Schema.from_arrow(without_needs(schema)), storage_options=self._options
            )
        except DeltaError:
            if (table := self._find()) is None:  # another process was faster
                raise
            return table

    def _find(self) -> DeltaTable | None:
        try:
            return DeltaTable(self._location, storage_options=self._options)
        except TableNotFoundError:
            return None

    def _open(self) -> DeltaTable:
        if (table := self._find()) is None:
            raise TableUnavailableError(f"{self._location}: the table was there and is gone")
        return table


def _application(name: str) -> str:
    return f"onpoint/{name}"


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _spelled(kind: object) -> str:
    return str(getattr(kind, "type", kind))
