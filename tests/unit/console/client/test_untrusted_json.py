import json

import pytest

from console.client.untrusted_json import MAX_DEPTH, parse


def test_what_is_json_is_read_as_it_is() -> None:
    value = {"a": [1, 2.5, None, True, "\ud800"], "b": {"c": []}}

    assert parse(json.dumps(value)) == value
    assert parse(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)


def test_a_number_that_no_float_can_represent_is_its_text() -> None:
    assert parse('{"a":1e400,"b":-1e400,"c":1e4}') == {"a": "1e400", "b": "-1e400", "c": 1e4}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "NaN",
        '{"a":-Infinity}',
        b"\xff",
        "9" * 5000,
        "[" * 100_000,
        "[" * 101 + "]" * 101,
        '{"a":' * 99_999,
    ],
    ids=["empty", "cut", "NaN", "Infinity", "bytes", "long", "deep", "one too deep", "deep objects"],
)
def test_what_is_none_or_could_not_be_written_again_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        parse(text)
