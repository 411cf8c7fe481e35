"""Which files of a dataset its tables have, and the commit by which a compaction reaches them."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shared.datasets.lake import TableKind
from shared.lake.tables.port import LakeTable, TableFile

Kinds = frozenset[TableKind]


@dataclass(frozen=True, slots=True)
class TableMembers:
    """A dataset's tables, and their files as they were when it was asked for."""

    tables: Mapping[TableKind, LakeTable] = field(default_factory=dict)
    files: Mapping[TableKind, frozenset[str]] = field(default_factory=dict)
    """By URI."""

    def kinds_of(self, uri: str) -> Kinds:
        """The tables that have the file; none of a file from before the dataset had a table."""
        return frozenset(kind for kind, files in self.files.items() if uri in files)

    def groups(self, uris: Iterable[str]) -> dict[Kinds, set[str]]:
        """Files of the same tables: only those become one."""
        groups: dict[Kinds, set[str]] = {}
        for uri in uris:
            groups.setdefault(self.kinds_of(uri), set()).add(uri)
        return groups

    async def replace(
        self, name: str, sources: Collection[str], file: TableFile, at: datetime, *, is_reduced: bool
    ) -> None:
        """The tables that have one of the sources have the file instead. Idempotent.

        Raises `TableUnavailableError`, and `TableRefusedError` where a table lacks some of them.
        """
        kinds = {kind for uri in sources for kind in self.kinds_of(uri)}
        for kind in sorted(kinds):
            await asyncio.to_thread(self.tables[kind].replace, name, sources, file, at, is_reduced=is_reduced)


async def read_members(tables: Mapping[TableKind, LakeTable]) -> TableMembers:
    """Reads the whole log or every manifest of each. Raises `TableUnavailableError`."""
    files: dict[TableKind, frozenset[str]] = {}
    for kind, table in tables.items():
        state = await asyncio.to_thread(table.state)
        files[kind] = frozenset() if state is None else state.files
    return TableMembers(tables, files)
