"""What a source's record must become: by value, however it is written; what versions disagree about is right both ways."""

from datetime import UTC, datetime
from typing import Any

import pytest

from console.verify.source import is_beyond, parse, problem_of, rows_of
from shared.datasets.model import Dataset
from tests.unit.console.verify.conftest import dataset_of


def value(kind: str, text: str) -> Any:
    return rows_of(dataset_of({"id": "int64", "v": kind}), [parse(f'{{"id": 1, "v": {text}}}'.encode())])[
        "v"
    ][0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.0", 1),
        ("1e3", 1000),
        ("0.1e+4", 1000),
        ("9007199254740993.0", 9007199254740993),
        ("-9223372036854775808.000", -(2**63)),
        ("-0.0", 0),
    ],
)
def test_an_integer_counts_by_its_value(text: str, expected: int) -> None:
    assert value("int64", text) == expected


@pytest.mark.parametrize("text", ["1.5", "1e400", "1e999999999", "9223372036854775808.0", "true", '"1"'])
def test_what_is_not_an_integer_is_refused(text: str) -> None:
    with pytest.raises((TypeError, OverflowError, ValueError)):
        value("int64", text)


@pytest.mark.parametrize("text", ['"1.5"', "true", "[]"])
def test_what_is_not_a_number_is_refused(text: str) -> None:
    with pytest.raises(TypeError):
        value("float64", text)


@pytest.mark.parametrize(("text", "expected"), [("9007199254740993", 2.0**53), ("1e3", 1000.0), ("0.1", 0.1)])
def test_a_float_is_the_nearest(text: str, expected: float) -> None:
    assert value("float64", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-28t06:00:00z", datetime(2026, 11, 28, 6, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2016-12-31T23:59:60.5+00:00", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2026-11-28T24:00:00Z", datetime(2026, 11, 29, tzinfo=UTC)),
        ("2026-11-28T24:00+01:00", datetime(2026, 11, 28, 23, tzinfo=UTC)),
        ("2026-11-28 06:00:00.1234567", datetime(2026, 11, 28, 6, 0, 0, 123456, tzinfo=UTC)),
    ],
)
def test_a_time_may_be_written_in_many_ways(text: str, expected: datetime) -> None:
    assert value("timestamp", f'"{text}"') == expected


@pytest.mark.parametrize(
    ("kind", "text"),
    [("int64", "1.0"), ("float64", "9007199254740993"), ("timestamp", '"2016-12-31T23:59:60Z"')],
)
def test_a_refusal_of_what_is_doubtful_is_deserved(kind: str, text: str) -> None:
    assert problem_of(dataset_of({"id": "int64", "v": kind}), parse(f'{{"id": 1, "v": {text}}}'.encode()))


@pytest.mark.parametrize(
    ("kind", "text"), [("int64", "1"), ("float64", "1"), ("float64", "1.5"), ("string", '""')]
)
def test_a_refusal_of_what_is_right_is_none(kind: str, text: str) -> None:
    assert (
        problem_of(dataset_of({"id": "int64", "v": kind}), parse(f'{{"id": 1, "v": {text}}}'.encode()))
        is None
    )


TEXT: str = "string"
WIDE = dataset_of({"id": "int64", **{f"c{n}": TEXT for n in range(400)}})
NARROW = dataset_of({"id": "int64", "v": "string"})
KEYED = NARROW.model_copy(update={"key": ("v",)})


@pytest.mark.parametrize(
    ("dataset", "record", "reason", "expected"),
    [
        (WIDE, {"id": 1}, "too_large", True),
        (NARROW, {"id": 1, "v": "x" * 10_000_000}, "too_large", False),
        (KEYED, {"id": 1, "v": "é" * 1_001}, "too_large", True),
        (KEYED, {"id": 1, "v": "é" * 1_000}, "too_large", False),
        (WIDE, {"id": 1}, "type", False),
        (NARROW, {"id": 1, "v": "a"}, "decode", False),
    ],
)
def test_a_row_may_be_beyond_what_postgresql_stores(
    dataset: Dataset, record: dict[str, Any], reason: str, *, expected: bool
) -> None:
    assert is_beyond(dataset, record, reason) is expected


@pytest.mark.parametrize(("levels", "expected"), [(1, False), (64, False), (65, True), (5_000, True)])
def test_a_record_may_nest_too_deep(levels: int, *, expected: bool) -> None:
    record: Any = 1
    for _ in range(levels):
        record = {"deeper": record}
    assert is_beyond(NARROW, record, "decode") is expected
