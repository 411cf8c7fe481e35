"""What a file may have as `fill`, the processor can read."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from services.processor.domain.parse_schema import parse_schema_of
from shared.datasets.types import NUMBERS
from tests.support.crawled import a_dataset
from tests.support.every_type import SCALARS, TYPES, values
from tests.support.odd_values import ODD_TEXTS


@pytest.mark.parametrize("fill", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-00:01"])
def test_a_moment_outside_the_calendar_in_utc_is_refused_when_the_file_is_read(fill: str) -> None:
    column = {"name": "x", "type": "timestamp", "fill": fill}
    with pytest.raises(ValidationError, match="cannot be in a column"):
        a_dataset([{"name": "id", "type": "int64"}, column], key=["id"])


@settings(deadline=None, max_examples=500, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_what_the_file_takes_the_processor_reads(data: st.DataObject) -> None:
    kind = data.draw(st.one_of(SCALARS, TYPES))
    text, _ = data.draw(values(kind))
    own = json.loads(text) if kind.name not in NUMBERS or len(text) < 15 else text
    fill = data.draw(st.sampled_from((own, *ODD_TEXTS, 0, 1, -1, 128, 1.5, 2**63, True)))
    column: dict[str, Any] = {"name": "x", "type": str(kind), "fill": fill}
    with suppress(ValidationError):
        schema = parse_schema_of(a_dataset([{"name": "id", "type": "int64"}, column], key=["id"]))
        assert fill is None or schema.targets[1].fill.is_valid
