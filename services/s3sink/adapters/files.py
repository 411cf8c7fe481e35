"""The files of an object as its row in PostgreSQL has them."""

from collections.abc import Sequence

import asyncpg
import orjson

from services.s3sink.domain import LakeFile, LakeObject


def columns_of(files: Sequence[LakeFile]) -> tuple[str | None, int, int, str | None, str | None]:
    """`uri`, `rows`, `bytes`, `sha256` and `files`."""
    rows, size = sum(file.rows for file in files), sum(file.bytes for file in files)
    if len(files) == 1:
        return files[0].uri, rows, size, files[0].sha256, None
    several = [
        {
            "uri": file.uri,
            "rows": file.rows,
            "bytes": file.bytes,
            "sha256": file.sha256,
            "batch_ids": sorted(file.batch_ids),
        }
        for file in files
    ]
    return None, rows, size, None, orjson.dumps(several).decode()


def object_of(row: asyncpg.Record) -> LakeObject:
    """Of a row that is written."""
    if row["files"] is None:
        one = LakeFile(row["uri"], row["rows"], row["bytes"], row["sha256"], frozenset(row["batch_ids"]))
        return LakeObject((one,), row["written_at"])
    files = (
        LakeFile(file["uri"], file["rows"], file["bytes"], file["sha256"], frozenset(file["batch_ids"]))
        for file in orjson.loads(row["files"])
    )
    return LakeObject(tuple(files), row["written_at"])
