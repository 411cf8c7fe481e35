"""Values at the bounds of each type and one beyond, and what a refusal says."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from console.verify.source import parse, rows_of
from services.processor.domain import column_parser
from services.processor.domain.chosen_forms import ChosenForms
from services.processor.domain.lines import Chunk
from services.processor.domain.parse import Watch, parse_chunk
from services.processor.domain.parse_schema import parse_schema_of
from services.processor.domain.row_parser import RejectedLine, read_line
from services.processor.domain.unmapped_fields import UnnamedFields
from tests.support.crawled import a_dataset

UUID = "0b0e0000-0000-4000-8000-0000000000ff"
MOST = "9" * 38


def read(kind: str, raw: str, **options: Any) -> Any:
    """The value, or the reason and the detail of its refusal."""
    schema = parse_schema_of(
        a_dataset([{"name": "id", "type": "int64"}, {"name": "x", "type": kind, **options}], key=["id"])
    )
    line = f'{{"id": 1, "x": {raw}}}'.encode()
    row = read_line(line, schema)
    [parsed] = parse_chunk(Chunk(0, 1, line + b"\n"), 0, schema, Watch(schema, "run-1", "0" * 32))
    if isinstance(row, RejectedLine):
        assert [(item.reason, item.detail) for item in parsed.refused] == [(row.reason, row.detail)]
        return row.reason.value, row.detail
    assert parsed.rows.column(1).to_pylist() == [row.values[1]]
    return row.values[1]


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        ("int8", "127", 127),
        ("int8", "-128", -128),
        ("int16", "-32768", -32768),
        ("int32", "2147483647", 2**31 - 1),
        ("int32", "2.147483647e9", 2**31 - 1),
        ("float32", "0.1", 0.10000000149011612),
        ("float32", "1.00000005960464477540", 1.0000001192092896),
        ("float32", "16777217", 16777216.0),
        ("decimal(38,0)", MOST, Decimal(MOST)),
        ("decimal(38,38)", f"-0.{MOST}", Decimal(f"-0.{MOST}")),
        ("decimal(5,2)", '"999.99"', Decimal("999.99")),
        ("decimal(5,2)", "1e-2", Decimal("0.01")),
        ("decimal(5,2)", "-0.0", Decimal("0.00")),
        ("decimal(5,2)", "0e999999999", Decimal("0.00")),
        ("decimal(5,2)", '".5"', Decimal("0.50")),
        ("decimal(5,2)", "1.500000", Decimal("1.50")),
        ("time", '"00:00"', "00:00:00.000000"),
        ("time", '"23:59:59.9999999"', "23:59:59.999999"),
        ("duration", "0.5", 500_000),
        ("duration", '"P1W"', 604_800_000_000),
        ("duration", '"-PT1H0,25S"', -3_600_250_000),
        ("duration", '"1.5"', 1_500_000),
        ("duration", "9223372036854.775806", 2**63 - 2),
        ("uuid", f'"{UUID.upper()}"', UUID),
        ("uuid", f'"{UUID.replace("-", "")}"', UUID),
        ("binary", '"AAH/"', b"\0\x01\xff"),
        ("binary", '""', b""),
        ("json", '{"b": [1.50, null], "a": 1e400, "a": "é"}', '{"a":"é","b":[1.5,null]}'),
        ("json", "1e400", "1e400"),
        ("json", "-0.0", "0"),
        ("json", "1" * 400, "1" * 400),
        ("json", '"x"', '"x"'),
        ("enum(new, 'sent out')", '"sent out"', "sent out"),
        ("list<list<int8>>", "[[1, null], null, []]", [[1, None], None, []]),
        ("struct<a: int8, b: list<string>>", '{"b": ["x"], "c": 1}', {"a": None, "b": ["x"]}),
        ("struct<a: int8>", "[]", {"a": None}),
        ("struct<a: json>", '{"a": {"z": 1, "y": 2}}', {"a": '{"y":2,"z":1}'}),
    ],
)
def test_what_a_type_takes(kind: str, raw: str, value: Any) -> None:
    assert repr(read(kind, raw)) == repr(value)


@pytest.mark.parametrize(
    ("kind", "raw", "reason", "words"),
    [
        ("int8", "128", "range", "x: 128 is beyond int8"),
        ("int16", "-32769", "range", "x: -32769 is beyond int16"),
        ("int32", "1.5", "type", "x: 1.5 is not a whole number"),
        ("int32", '"1"', "type", "x: a text where int32 is expected"),
        ("float32", "3.5e38", "range", "x: 3.5e38 is beyond float32"),
        ("float32", "1e400", "range", "x: 1e400 is beyond float32"),
        ("decimal(5,2)", "1000", "range", "x: 1000 is beyond decimal(5,2)"),
        ("decimal(1,1)", "1", "range", "x: 1 is beyond decimal(1,1)"),
        ("decimal(38,0)", "1" + "0" * 400, "range", "x: 1000"),
        ("decimal(5,2)", "1.005", "type", "x: 1.005 has more than 2 digits behind the point; `inexact: round`"),
        ("decimal(5,2)", '"1,5"', "type", "x: '1,5' where a text such as 12.50 is expected"),
        ("decimal(5,2)", '"NaN"', "type", "x: 'NaN' where a text such as 12.50"),
        ("decimal(5,2)", "true", "type", "x: a boolean where a number is expected"),
        ("time", '"24:00"', "type", "x: '24:00' where a text such as 08:30:00 is expected"),
        ("time", '"23:59:60"', "type", "x: '23:59:60' where"),
        ("time", '"08:30Z"', "type", "x: '08:30Z' where"),
        ("duration", '"P1Y"', "type", "x: 'P1Y' where a text such as PT1H30M or a number of seconds is expected"),
        ("duration", '"P1DT"', "type", "x: 'P1DT' where"),
        ("duration", "9223372036854.775807", "range", "x: 9223372036854.775807 is beyond duration"),
        ("duration", "0.0000000001", "type", "x: 0.0000000001 has more than 9 digits behind the point"),
        ("uuid", f'"{UUID[:-1]}"', "type", f"x: '{UUID[:-1]}' where a text of a UUID is expected"),
        ("binary", '"QR=="', "type", "x: 'QR==' where a text of bytes in base64 is expected"),
        ("binary", '"QQ"', "type", "x: 'QQ' where a text of bytes in base64"),
        ("json", "1e131072", "range", "x: 1e131072 is beyond what PostgreSQL holds in jsonb"),
        ("json", "[" * 101 + "]" * 101, "decode", "x: nested too deep"),
        ("json", '["\\u0000"]', "nul", "x: a text with a NUL character"),
        ("json", '{"\\ud800": 1}', "encoding", "x: a text with half a surrogate pair"),
        ("enum(new, paid)", '"lost"', "range", "x: 'lost' is none of new, paid"),
        ("list<int8>", "[1, 128]", "range", "x: item 2: 128 is beyond int8"),
        ("list<int8>", "{}", "type", "x: an object where an array is expected"),
        ("struct<a: list<int8>>", '{"a": [null, "1"]}', "type", "x: a: item 2: a text where int8 is expected"),
        ("struct<a: int8>", "[1]", "type", "x: an array where an object is expected"),
    ],
)  # fmt: skip
def test_what_a_type_refuses(kind: str, raw: str, reason: str, words: str) -> None:
    found, detail = read(kind, raw)
    assert found == reason
    assert detail.startswith(words)


@pytest.mark.parametrize(
    ("kind", "options", "raw", "value"),
    [
        ("int64", {"nulls": ["n/a"]}, '"n/a"', None),
        ("int64", {"nulls": ["n/a"]}, "1", 1),
        ("string", {"trim": True, "empty_as_null": True}, '" \\u00a0\\t"', None),
        ("string", {"trim": True}, '" x "', "x"),
        ("decimal(5,2)", {"decimal_comma": True}, '"-1,5"', Decimal("-1.50")),
        ("decimal(5,2)", {"nulls": ["0"]}, '"0"', None),
        ("decimal(5,2)", {"nulls": ["0"]}, "0", Decimal("0.00")),
        ("decimal(5,2)", {"inexact": "round"}, "1.005", Decimal("1.00")),
        ("decimal(5,2)", {"inexact": "round"}, "1.015", Decimal("1.02")),
        ("decimal(3,0)", {"inexact": "round"}, "-2.5", Decimal(-2)),
        ("float64", {"decimal_comma": True}, '"1,5"', 1.5),
        ("float64", {"from_text": True}, '"-0.0"', -0.0),
        ("int8", {"from_text": True}, '"007"', 7),
        ("int8", {"from_text": True, "inexact": "round"}, '"2.5"', 2),
        ("boolean", {"true_words": ["yes"], "false_words": ["no"]}, '"no"', False),
        ("boolean", {"from_text": True}, '"true"', True),
        ("date", {"format": "%d.%m.%Y"}, '"1.12.2026"', date(2026, 12, 1)),
        ("date", {"format": "%d %b %y"}, '"01 DEC 69"', date(1969, 12, 1)),
        ("time", {"format": "%I:%M %p"}, '"12:05 am"', "00:05:00.000000"),
        ("timestamp", {"format": "%Y%m%d%H%M%S"}, '"20261129100000"', datetime(2026, 11, 29, 10, tzinfo=UTC)),
        ("timestamp", {"zone": "Europe/Berlin"}, '"2026-10-25T02:30:00"', datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        ("timestamp", {"zone": "Europe/Berlin"}, '"2060-07-01T12:00"', datetime(2060, 7, 1, 10, tzinfo=UTC)),
        ("timestamp", {"zone": "Europe/Berlin"}, '"2026-07-01T12:00Z"', datetime(2026, 7, 1, 12, tzinfo=UTC)),
        ("timestamp", {"zone": "Europe/Berlin"}, '"2026-07-01"', datetime(2026, 6, 30, 22, tzinfo=UTC)),
        ("binary", {"encoding": "hex"}, '"00FF"', b"\0\xff"),
        ("list<int64>", {"from_text": True, "nulls": ["-"]}, '["1", "-", null]', [1, None, None]),
    ],
)  # fmt: skip
def test_what_an_option_makes_of_a_value(kind: str, options: dict[str, Any], raw: str, value: Any) -> None:
    found = read(kind, raw, **options)
    assert repr(found) == repr(value) or (found == value and isinstance(value, datetime))


@pytest.mark.parametrize(
    ("kind", "options", "raw", "words"),
    [
        ("decimal(5,2)", {"decimal_comma": True}, '"1.5"', "x: '1.5' where a text such as 12,50 is expected"),
        ("decimal(5,2)", {"inexact": "round"}, "999.995", "x: 999.995 is beyond decimal(5,2)"),
        ("float32", {"inexact": "refuse"}, "16777217", "x: 16777217 is not exactly a float32"),
        ("int64", {"from_text": True}, '"x"', "x: 'x' where a text such as 12 is expected"),
        ("boolean", {"true_words": ["yes"]}, '"true"', "x: 'true' where a text of yes, false is expected"),
        ("date", {"format": "%d.%m.%Y"}, '"2026-12-01"', "x: '2026-12-01' where a text in the format %d.%m.%Y"),
        ("date", {"format": "%Y%m%d"}, '"2026111"', "x: '2026111' where a text in the format %Y%m%d is expected"),
        ("time", {"format": "%H%M"}, '"123"', "x: '123' where a text in the format %H%M is expected"),
        ("timestamp", {"zone": "Europe/Berlin"}, '"2026-03-29T02:30"', "x: '2026-03-29T02:30' is no time of Europe/B"),
        ("binary", {"encoding": "hex"}, '"0ff"', "x: '0ff' where a text of bytes in hex is expected"),
    ],
)  # fmt: skip
def test_what_an_option_does_not_take(kind: str, options: dict[str, Any], raw: str, words: str) -> None:
    _, detail = read(kind, raw, **options)
    assert detail.startswith(words)


PLAIN: dict[str, list[Any]] = {
    "int8": [1, None], "int16": [1], "int32": [-1], "float32": [0.5, 1], "decimal(18,4)": [1.5, "2.25", None],
    "time": ["08:30", "08:30:01.5"], "duration": [1, 1.5, "90"], "uuid": [UUID], "binary": ["AAH/"],
    "json": [{"a": [1]}, 1, "x"],
    "enum(new, paid)": ["new", None], "list<timestamp>": [["2026-01-01T00:00:00Z", None], [], None],
    "struct<a: date, b: decimal(9,2)>": [{"a": "2026-01-01", "b": 1.5}, {}, None], "list<json>": [[{"a": 1}]],
    "list<struct<a: uuid>>": [[{"a": UUID}, None]],
}  # fmt: skip
OPTIONS: list[tuple[str, dict[str, Any], list[Any]]] = [
    ("int64", {"from_text": True}, ["1", "-2", None]),
    ("float64", {"from_text": True, "nulls": ["n/a"]}, ["1.5", "n/a"]),
    ("decimal(9,2)", {"decimal_comma": True, "trim": True}, [" 1,5 ", "2"]),
    ("decimal(9,2)", {"inexact": "round"}, [1.005, 2]),
    ("boolean", {"true_words": ["yes"], "false_words": ["no"]}, ["yes", "no", None]),
    ("duration", {}, ["PT1H30M", "-P1D"]),
    ("timestamp", {"zone": "Europe/Berlin"}, ["2026-07-01T12:00", "2026-07-01T12:00Z"]),
    ("timestamp", {"format": "%d.%m.%Y %H:%M"}, ["1.7.2026 8:05"]),
    ("binary", {"encoding": "hex"}, ["00FF"]),
    ("string", {"trim": True, "empty_as_null": True}, [" x ", ""]),
]


@pytest.mark.parametrize(
    ("kind", "options", "values"), [*((kind, {}, values) for kind, values in PLAIN.items()), *OPTIONS]
)
def test_plain_values_are_read_as_whole_columns(
    kind: str, options: dict[str, Any], values: list[Any]
) -> None:
    column = {"name": "x", "type": kind, **options}
    schema = parse_schema_of(a_dataset([{"name": "id", "type": "int64"}, column], key=["id"]))
    lines = b"".join(json.dumps({"id": n, "x": value}).encode() + b"\n" for n, value in enumerate(values))
    fields, forms = UnnamedFields(schema.tree), ChosenForms(schema)
    found = column_parser.read_columns(lines, len(values), schema, fields, forms)
    assert found is not None
    assert len(found[0][1]) == len(values)


@pytest.mark.parametrize(
    ("kind", "options", "value"),
    [
        ("decimal(9,2)", {"fill": "0.50", "decimal_comma": True}, Decimal("0.50")),
        ("date", {"fill": "2026-01-31", "format": "%d.%m.%Y"}, date(2026, 1, 31)),
        ("string", {"fill": "n/a", "nulls": ["n/a"]}, "n/a"),
        ("boolean", {"fill": False, "true_words": ["yes"]}, False),
        ("binary", {"fill": "00ff", "encoding": "hex"}, b"\0\xff"),
        ("duration", {"fill": 90}, 90_000_000),
        ("uuid", {"fill": UUID}, UUID),
        ("json", {"fill": "x"}, '"x"'),
        ("enum(new, paid)", {"fill": "paid"}, "paid"),
    ],
)
def test_a_fill_is_read_by_the_type_alone(kind: str, options: dict[str, Any], value: Any) -> None:
    dataset = a_dataset([{"name": "id", "type": "int64"}, {"name": "x", "type": kind, **options}], key=["id"])
    schema = parse_schema_of(dataset)
    line = b'{"id": 1, "x": null}'
    [parsed] = parse_chunk(Chunk(0, 1, line + b"\n"), 0, schema, Watch(schema, "run-1", "0" * 32))
    assert parsed.rows.column(1).to_pylist() == [value]
    assert rows_of(dataset, [parse(line)])["x"].to_list() == [value]


def test_fields_that_a_struct_does_not_name_are_counted() -> None:
    column = {"name": "x", "type": "struct<a: int8>"}
    schema = parse_schema_of(a_dataset([{"name": "id", "type": "int64"}, column], key=["id"]))
    watch = Watch(schema, "run-1", "0" * 32)
    lines = b'{"id": 1, "x": {"a": 1, "b": 2}}\n{"id": 2, "x": {"a": 1.0, "b": 2, "c": null}}\n'
    watch.unnamed.observe(lines)
    [parsed] = parse_chunk(Chunk(0, 2, lines), 0, schema, watch)
    assert parsed.ignored == 2
    assert watch.unnamed.names() == ("x.b", "x.c")
