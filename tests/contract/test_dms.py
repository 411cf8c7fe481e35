"""The settings of an AWS DMS task (deploy/dms): names and bounds as AWS documents them, and the layout of the lake."""

import json
from typing import Any

import pytest

from tests.support.records import ROOT

BOUNDS = {
    ("task-settings", "FullLoadSettings", "MaxFullLoadSubTasks"): (1, 49),
    ("task-settings", "FullLoadSettings", "CommitRate"): (1, 50_000),
    ("task-settings", "TargetMetadata", "ParallelLoadThreads"): (0, 32),
    ("task-settings", "TargetMetadata", "ParallelLoadBufferSize"): (50, 1_000),
    ("task-settings", "ChangeProcessingTuning", "MemoryLimitTotal"): (1, 100_000),
    ("s3-endpoint-settings", "CdcMinFileSize"): (1, 1_048_576),
    ("s3-endpoint-settings", "MaxFileSize"): (1, 1_048_576),
    ("s3-endpoint-settings", "CdcMaxBatchInterval"): (1, 86_400),
}


def document(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "deploy" / "dms" / f"{name}.json").read_text())
    return found


@pytest.mark.parametrize("path", BOUNDS, ids="/".join)
def test_a_number_is_within_its_bounds(path: tuple[str, ...]) -> None:
    value: Any = document(path[0])
    for name in path[1:]:
        value = value[name]
    least, most = BOUNDS[path]
    assert least <= value <= most


def test_the_layout_is_that_of_change_capture() -> None:
    target = document("s3-endpoint-settings")
    assert (target["DataFormat"], target["ParquetVersion"], target["CompressionType"]) == (
        "parquet",
        "parquet-2-0",
        "GZIP",
    )
    assert target["ParquetTimestampInMillisecond"]
    assert target["IncludeOpForFullLoad"]
    assert target["TimestampColumnName"] == "cdc_timestamp"
    assert (target["DatePartitionSequence"], target["DatePartitionDelimiter"]) == ("YYYYMMDDHH", "SLASH")
    # DMS counts in kilobytes: 64 and 128 MB, after a minute.
    assert (target["CdcMinFileSize"], target["MaxFileSize"], target["CdcMaxBatchInterval"]) == (
        65_536,
        131_072,
        60,
    )


def test_the_tables_are_those_of_the_datasets() -> None:
    [rule] = document("table-mappings")["rules"]
    assert rule["object-locator"] == {"schema-name": "public", "table-name": "onpoint_%"}
