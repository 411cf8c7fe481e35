"""The file of an object of change capture."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from services.s3sink.cdc.open_object import OpenObject

ROWS = pa.table(
    {
        "Op": ["I", "U"],
        "cdc_timestamp": pa.array([1, 2], pa.timestamp("ms", "UTC")),
        "_lsn": pa.array([None, 7], pa.int64()),
        "_tx": pa.array([None, 1], pa.int64()),
        "_offset": pa.array([0, 1], pa.int64()),
        "a.b": ["x", "y"],
        "tags": pa.array([["x"], None], pa.list_(pa.string())),
        "_unchanged": pa.array([None, None], pa.list_(pa.string())),
    }
)


def test_rows_come_back_and_what_rises_is_stored_by_its_steps(tmp_path: Path) -> None:
    target = OpenObject(ROWS.schema, 0, 2**20, tmp_path)
    target.append(ROWS)
    file, _, size = target.finish()
    assert pq.read_table(file).equals(ROWS)
    assert size == file.stat().st_size
    group = pq.ParquetFile(file).metadata.row_group(0)
    found = {(one := group.column(at)).path_in_schema: one for at in range(group.num_columns)}
    assert {one.compression for one in found.values()} == {"GZIP"}
    for name in ("cdc_timestamp", "_lsn", "_tx", "_offset"):
        assert "DELTA_BINARY_PACKED" in found[name].encodings
    for name in ("Op", "a.b", "tags.list.element"):
        assert "RLE_DICTIONARY" in found[name].encodings
