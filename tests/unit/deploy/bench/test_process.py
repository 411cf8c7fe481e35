import random

import pytest

from deploy.bench.process import compare
from deploy.bench.process_cases import CASES, Case


def test_each_kind_of_record_is_measured_beside_the_others() -> None:
    found = compare(rows=300, repeat=1)
    assert [one["case"] for one in found] == [case.name for case in CASES]
    for one in found:
        assert set(one["cpu_s"]) == {"processor", "polars", "dask"}
        assert one["rows_per_cpu_s"] > 0


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_records_have_the_columns_that_polars_is_told(case: Case) -> None:
    record = case.record(7, random.Random(1))  # noqa: S311 - repeatable
    assert list(record) == case.polars_schema.names()
    assert [column.get("from", column["name"]) for column in case.columns] == list(record)
