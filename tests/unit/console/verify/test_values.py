"""What `verify` expects of a value, and what the processor makes of it, whole columns and single values alike."""

from typing import Any

import polars as pl
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.verify.source import parse, problem_of, rows_of
from console.verify.stored import compared
from services.processor.domain.lines import Chunk
from services.processor.domain.parse import Watch, parse_chunk
from services.processor.domain.parse_schema import ParseSchema, parse_schema_of
from services.processor.domain.row_parser import RejectedLine, read_line
from shared.datasets.arrow import Array
from shared.datasets.model import Dataset
from tests.support.crawled import a_dataset
from tests.support.odd_values import columns, odd_values

ANYTHING = settings(deadline=None, max_examples=600, suppress_health_check=list(HealthCheck))


@ANYTHING
@given(st.data())
def test_a_value_is_read_or_refused_the_same_by_every_way(data: st.DataObject) -> None:
    column = data.draw(columns())
    dataset = a_dataset([{"name": "id", "type": "int64"}, column], key=["id"])
    raws = data.draw(st.lists(odd_values(dataset.columns[1].value_type), min_size=1, max_size=4))
    schema = parse_schema_of(dataset)
    lines = [f'{{"id": {place}, "x": {raw}}}'.encode() for place, raw in enumerate(raws)]
    rows, refused = _parsed(lines, schema)
    for place, line in enumerate(lines):
        alone = read_line(line, schema)
        assert isinstance(alone, RejectedLine) == (place in refused), line
        if isinstance(alone, RejectedLine):
            assert refused[place] == (alone.reason.value, alone.detail)
            _is_deserved(dataset, line)
            continue
        assert rows[place].equals(pa.array([alone.values[1]], schema.targets[1].reader.arrow)), line
        alike, _ = _parsed([line], schema)
        assert alike[0].equals(rows[place]), line
        _is_expected(dataset, line, rows[place])


def _parsed(lines: list[bytes], schema: ParseSchema) -> tuple[dict[int, Array], dict[int, Any]]:
    """Values by their line, and refusals."""
    chunk = Chunk(0, len(lines), b"".join(line + b"\n" for line in lines))
    rows: dict[int, Array] = {}
    refused: dict[int, Any] = {}
    for parsed in parse_chunk(chunk, 0, schema, Watch(schema, "run-1", "0" * 32)):
        positions: list[Any] = parsed.rows.column(2).to_pylist()
        rows |= {place: parsed.rows.column(1).slice(at, 1) for at, place in enumerate(positions)}
        refused |= {item.line: (item.reason.value, item.detail) for item in parsed.refused}
    return rows, refused


def _is_deserved(dataset: Dataset, line: bytes) -> None:
    """`verify` never takes a refusal for wrong."""
    try:
        record = parse(line)
    except ValueError:
        return
    assert problem_of(dataset, record) is not None, line


def _is_expected(dataset: Dataset, line: bytes, value: Any) -> None:
    expected = rows_of(dataset, [parse(line)])["x"]
    found = compared(pl.Series("x", pl.from_arrow(value)), dataset.columns[1].value_type)
    assert expected.equals(found, null_equal=True), (line, expected, found)
