"""How types are spelled in a dataset file, and what is said of a spelling that is none."""

from contextlib import suppress
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.datasets.arrow import arrow_type
from shared.datasets.faults import FaultError
from shared.datasets.frozen import dump
from shared.datasets.model import Dataset
from shared.datasets.type_spelling import type_of, type_of_postgres
from shared.datasets.types import KINDS, Type
from tests.support.crawled import a_dataset
from tests.support.every_type import TYPES


@given(TYPES)
def test_the_spelling_of_a_type_is_read_as_the_type(kind: Type) -> None:
    assert type_of(str(kind)) == kind
    assert type_of(str(kind).replace(", ", ",").replace(": ", ":")) == kind


@given(st.text(max_size=30) | st.text("decimalstu<>(),:' 0123", max_size=30))
def test_any_text_is_a_type_or_refused_with_a_reason(text: str) -> None:
    with suppress(FaultError):
        assert type_of(str(type_of(text))) == type_of(text)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("decimal(18,4)", "decimal(18,4)"),
        (" decimal ( 5 ) ", "decimal(5,0)"),
        ("enum(new, 'sent out', 'it''s')", "enum(new, 'sent out', 'it''s')"),
        ("struct<a:int8,B:list<decimal(9,2)>>", "struct<a: int8, B: list<decimal(9,2)>>"),
    ],
)
def test_a_column_keeps_one_spelling(written: str, kept: str) -> None:
    column = a_dataset([{"name": "id", "type": "int64"}, {"name": "x", "type": written}], ["id"]).columns[1]
    assert column.type == kept


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (
            "decimal",
            "decimal needs its digits, and how many of them are behind the point: write decimal(18,4)",
        ),
        ("decimal(39,0)", "decimal(39,0): 1 to 38 digits can be held"),
        ("decimal(0,0)", "decimal(0,0): 1 to 38 digits can be held"),
        ("decimal(2,3)", "decimal(2,3): of 2 digits 3 cannot be behind the point"),
        ("decimal(18", "decimal(18 ends too early: inside of { } YAML cuts at a comma"),
        ("varchar(255)", "varchar(255) is none of string, int8, "),
        ("varchar(255)", ": did you mean string?"),
        ("int", ": did you mean int64?"),
        ("number", ": did you mean float64?"),
        ("numeric(10,2)", ": did you mean decimal(p,s)?"),
        ("array<int64>", ": did you mean list<T>?"),
        ("list<int>", "int is none of string, "),
        ("guid", ": did you mean uuid?"),
        ("strin", ": did you mean string?"),
        ("list", "list needs the type of its items: write list<string>"),
        ("enum()", "enum needs its values: write enum(new, paid)"),
        ("enum(a, a)", "enum: a is named twice"),
        ("struct<a b: int8>", "struct needs its fields: write struct<id: int64, name: string>"),
        ("struct<a: int8, A: int8>", "struct: A is named twice"),
        ("int64 x", "int64 x: nothing is expected after the type, not x"),
        ("list<" * 8 + "int8" + ">" * 8, "types lie more than 8 deep in each other: take json for this"),
    ],
)
def test_a_wrong_spelling_is_told_what_to_write(written: str, words: str) -> None:
    with pytest.raises(FaultError) as refused:
        type_of(written)
    assert words in str(refused.value)


@pytest.mark.parametrize("kind", [kind.form.replace("T", "int8") for kind in KINDS.values()])
def test_every_type_has_its_place_in_arrow_and_postgresql(kind: str) -> None:
    found = type_of(kind.replace("(p,s)", "(18,4)"))
    assert isinstance(arrow_type(found), pa.DataType)
    known = type_of_postgres(found.postgres)
    assert known is not None
    assert known.postgres == found.postgres


@pytest.mark.parametrize(
    ("postgres", "kind"),
    [
        ("smallint", "int16"),
        ("text", "string"),
        ("jsonb", "json"),
        ("numeric(18,4)[]", "list<decimal(18,4)>"),
        ("timestamp with time zone[]", "list<timestamp>"),
        ("numeric", None),
        ("jsonb[]", None),
        ("numeric(60,2)", None),
        ("point", None),
    ],
)
def test_a_column_of_postgresql_has_a_type_in_a_file(postgres: str, kind: str | None) -> None:
    found = type_of_postgres(postgres)
    assert (None if found is None else str(found)) == kind


@pytest.mark.parametrize("kind", ["json", "binary", "list<int8>", "struct<a: int8>"])
def test_a_type_that_cannot_be_compared_is_no_key(kind: str) -> None:
    with pytest.raises(ValidationError, match=r"id is of type .*, and no column of type .* can be in a key"):
        a_dataset([{"name": "id", "type": kind}], ["id"])


@pytest.mark.parametrize(
    "kind", ["decimal(9,2)", "uuid", "int8", "date", "boolean", "enum(a)", "time", "duration"]
)
def test_a_type_that_can_be_compared_may_be_a_key(kind: str) -> None:
    assert a_dataset([{"name": "id", "type": kind}], ["id"]).key == ("id",)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ({"type": "int8", "fill": 128}, "128 cannot be in a column of type int8: a whole number of at most 8 bits"),
        ({"type": "decimal(3,2)", "fill": 0.5}, "0.5 cannot be in a column of type decimal(3,2): a whole number, or one in"),
        ({"type": "decimal(3,2)", "fill": "10"}, '"10" cannot be in a column of type decimal(3,2)'),
        ({"type": "uuid", "fill": "x"}, "a UUID in quotes"),
        ({"type": "binary", "fill": "x"}, "bytes in quotes"),
        ({"type": "enum(a, b)", "fill": "c"}, '"c" cannot be in a column of type enum(a, b): one of a, b is expected'),
        ({"type": "list<int8>", "fill": 1}, "a column of type list<int8> has no fill: its nulls stay"),
        ({"type": "time", "fill": "24:00"}, "a time of day in quotes"),
        ({"type": "duration", "fill": "P1Y"}, "a duration in quotes"),
        ({"type": "string", "decimal_comma": True}, "float64 and decimal, not for string"),
        ({"type": "int8", "zone": "Europe/Berlin"}, "only for columns of type timestamp, not for int8"),
        ({"type": "timestamp", "zone": "Berlin"}, "Berlin is no time zone: one such as Europe/Berlin is expected"),
        ({"type": "timestamp", "format": "%Y"}, "it needs the month, %m or %b"),
        ({"type": "date", "format": "%Y-%m-%d %H"}, "a date has no time of day: take type timestamp"),
        ({"type": "date", "format": "%Y-%m-%Q"}, "%Q is not supported: supported are %Y"),
        ({"type": "time", "format": "%I:%M"}, "%I and %p belong together"),
        ({"type": "boolean", "true_words": ["x"], "false_words": ["x"]}, "'x' cannot mean true and false"),
        ({"type": "json", "nulls": ["x"]}, "uuid, binary and enum, not for json"),
    ],
)  # fmt: skip
def test_an_option_that_does_not_fit_its_type_is_refused(column: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        a_dataset([{"name": "id", "type": "int64"}, {"name": "x", **column}], ["id"])
    assert words in str(refused.value)


@pytest.mark.parametrize(
    "column",
    [
        {"type": "decimal(3,2)", "fill": "0.50"},
        {"type": "duration", "fill": "PT1H30M"},
        {"type": "json", "fill": "x"},
        {"type": "binary", "fill": "00ff", "encoding": "hex"},
        {"type": "list<string>", "nulls": ["-"], "trim": True},
        {"type": "enum(a, 'b c')", "fill": "b c"},
        {"type": "struct<a: timestamp>", "zone": "Europe/Berlin"},
    ],
)
def test_a_run_keeps_a_column_as_its_file_had_it(column: dict[str, Any]) -> None:
    dataset = a_dataset([{"name": "id", "type": "int64"}, {"name": "x", **column}], ["id"])
    assert Dataset.model_validate_json(dump(dataset)) == dataset
