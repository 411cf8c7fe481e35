"""Whole columns and single values are read the same, of every type."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.processor.domain.lines import Chunk
from services.processor.domain.parse import Watch, parse_chunk
from services.processor.domain.parse_schema import parse_schema_of
from services.processor.domain.row_parser import RejectedLine, Row, read_line
from shared.datasets.arrow import arrow_type
from shared.datasets.types import Type
from tests.support.crawled import a_dataset
from tests.support.every_type import TYPES, values

ANYTHING = settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))


@st.composite
def columns(draw: st.DrawFn) -> tuple[Type, list[tuple[str, Any]]]:
    kind = draw(TYPES)
    return kind, draw(st.lists(values(kind), min_size=1, max_size=5))


@ANYTHING
@given(columns())
def test_any_value_of_any_type_is_stored_as_it_is(found: tuple[Type, list[tuple[str, Any]]]) -> None:
    kind, written = found
    schema = parse_schema_of(
        a_dataset([{"name": "id", "type": "int64"}, {"name": "x", "type": str(kind)}], key=["id"])
    )
    lines = [f'{{"id": {n}, "x": {text}}}'.encode() for n, (text, _) in enumerate(written)]
    expected = [value for _, value in written]
    single = [read_line(line, schema) for line in lines]
    assert not [row for row in single if isinstance(row, RejectedLine)]
    assert [row.values[1] for row in single if isinstance(row, Row)] == expected
    chunk = Chunk(0, len(lines), b"".join(line + b"\n" for line in lines))
    [parsed] = parse_chunk(chunk, 0, schema, Watch(schema, "run-1", "0" * 32))
    assert parsed.refused == ()
    assert parsed.rows.column(1).type == arrow_type(kind)
    assert parsed.rows.column(1).to_pylist() == expected
