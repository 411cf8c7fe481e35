"""Lists and structs: nulls inside, wrong types inside, types inside of types."""

from datetime import UTC, datetime
from decimal import Decimal

from tests.support.odd_batches.batch import Refused, no_range, no_type, of_values

_UUID = "0b0e0000-0000-4000-8000-0000000000ff"

LISTS_AND_STRUCTS = [
    of_values(
        "lists with nulls",
        "list<int64>",
        {
            "[]": [],
            "[null]": [None],
            "[1, null, 2]": [1, None, 2],
            "null": None,
            "[null, null]": [None, None],
            "[ ]": [],
        },
    ),
    of_values(
        "lists with wrong types inside",
        "list<int64>",
        {
            '["1"]': no_type("item 1: a text"),
            "[1, true]": no_type("item 2: a boolean"),
            "[1.5]": no_type("item 1: 1.5"),
            "[[1]]": no_type("item 1: an array"),
            "[{}]": no_type("item 1: an object"),
            "[1.0]": [1],
            "[9223372036854775808]": no_range("item 1"),
            "[1]": [1],
        },
    ),
    of_values(
        "other values where a list is",
        "list<string>",
        {
            '"a"': no_type("a text where an array"),
            '"[]"': no_type(),
            "1": no_type(),
            "{}": no_type("an object"),
            '{"0": "a"}': no_type(),
            '"a,b"': no_type(),
            "true": no_type(),
            '["a"]': ["a"],
        },
    ),
    of_values(
        "lists of texts by the rules for texts",
        "list<string>",
        {'[" a ", "-", "", null]': ["a", None, None, None], "[]": []},
        trim=True,
        empty_as_null=True,
        nulls=["-"],
    ),
    of_values(
        "lists that are a marker of null",
        "list<string>",
        {'"-"': no_type("where an array"), '["-"]': [None]},
        nulls=["-"],
    ),
    of_values(
        "lists of texts with odd characters",
        "list<string>",
        {
            '["\\u0000"]': Refused("nul", "item 1"),
            '["a", "\\ud800"]': Refused("encoding", "item 2"),
            '["\U0001f600", ""]': ["\U0001f600", ""],
        },
    ),
    of_values(
        "lists of lists",
        "list<list<int8>>",
        {
            "[[1, null], null, []]": [[1, None], None, []],
            "[[1], 2]": no_type("item 2: a number"),
            "[[1], [128]]": no_range("item 2: item 1: 128"),
            "[]": [],
            "[[[1]]]": no_type(),
        },
    ),
    of_values(
        "lists of decimals with a comma",
        "list<decimal(9,2)>",
        {
            '["1,5", null, 2]': [Decimal("1.50"), None, Decimal("2.00")],
            '["1.5"]': no_type("item 1"),
            "[1.5]": [Decimal("1.50")],
        },
        decimal_comma=True,
    ),
    of_values(
        "lists of days in a format",
        "list<date>",
        {
            '["04.03.2026", null]': [datetime(2026, 3, 4, tzinfo=UTC).date(), None],
            '["2026-03-04"]': no_type("item 1"),
            '[["04.03.2026"]]': no_type(),
        },
        format="%d.%m.%Y",
    ),
    of_values(
        "lists of floats at their bounds",
        "list<float64>",
        {
            "[1e308, -0.0, 5e-324]": [1e308, -0.0, 5e-324],
            "[1e400]": no_range("item 1: 1e400"),
            "[9007199254740993]": [2.0**53],
            "[NaN]": Refused("decode"),
        },
    ),
    of_values(
        "lists of booleans in words",
        "list<boolean>",
        {'["Y", "N", true, null]': [True, False, True, None], '["y"]': no_type("item 1")},
        true_words=["Y"],
        false_words=["N"],
    ),
    of_values(
        "lists of uuids and of bytes",
        "list<uuid>",
        {f'["{_UUID.upper()}", null]': [_UUID, None], '["x"]': no_type("item 1"), "[]": []},
    ),
    of_values(
        "lists of words of a closed set",
        "list<enum(a, b)>",
        {
            '["a", "b", null]': ["a", "b", None],
            '["c"]': no_range("item 1: 'c' is none of a, b"),
            '["a", 1]': no_type("item 2"),
        },
    ),
    of_values(
        "lists of any value",
        "list<json>",
        {
            '[{"b": 1.0, "a": null}, null, "x", 1e2]': ['{"a":null,"b":1}', None, '"x"', "100"],
            '[["\\u0000"]]': Refused("nul"),
            "{}": no_type(),
        },
    ),
    of_values(
        "long lists",
        "list<int32>",
        {
            f"[{','.join(map(str, range(20000)))}]": list(range(20000)),
            f"[{','.join(['null'] * 20000)}]": [None] * 20000,
        },
    ),
    of_values(
        "structs with nulls and without fields",
        "struct<a: int8, b: string>",
        {
            '{"a": 1, "b": "x"}': {"a": 1, "b": "x"},
            '{"a": null, "b": null}': {"a": None, "b": None},
            "{}": {"a": None, "b": None},
            "null": None,
            '{"b": "x"}': {"a": None, "b": "x"},
            '{"b": "x", "a": 1}': {"a": 1, "b": "x"},
            '{"A": 1}': {"a": None, "b": None},
            "[]": {"a": None, "b": None},
        },
    ),
    of_values(
        "structs with wrong types inside",
        "struct<a: int8, b: string>",
        {
            '{"a": "1"}': no_type("a: a text"),
            '{"a": 128}': no_range("a: 128"),
            '{"b": 1}': no_type("b: a number"),
            '{"a": {}}': no_type("a: an object"),
            '{"a": []}': no_type("a: an array"),
            '{"a": 1.0}': {"a": 1, "b": None},
            '{"b": "\\u0000"}': Refused("nul", "b: "),
            '{"a": 1, "a": 2}': {"a": 2, "b": None},
        },
    ),
    of_values(
        "other values where a struct is",
        "struct<a: int8>",
        {
            '"x"': no_type("a text where an object"),
            "1": no_type(),
            "[1]": no_type("an array"),
            '"{}"': no_type(),
            "true": no_type(),
            '[{"a": 1}]': no_type(),
            '{"a": 1}': {"a": 1},
        },
    ),
    of_values(
        "structs of structs and lists",
        "struct<a: struct<b: list<int8>>, c: list<struct<d: date>>>",
        {
            '{"a": {"b": [1, null]}, "c": [{"d": "2026-03-04"}, null, {}]}': {
                "a": {"b": [1, None]},
                "c": [{"d": datetime(2026, 3, 4, tzinfo=UTC).date()}, None, {"d": None}],
            },
            '{"a": {"b": null}, "c": []}': {"a": {"b": None}, "c": []},
            '{"a": null, "c": null}': {"a": None, "c": None},
            '{"a": {"b": ["x"]}}': no_type("a: b: item 1: a text"),
            '{"c": [{"d": "2026-02-30"}]}': no_type("c: item 1: d: a text where a date"),
        },
    ),
    of_values(
        "lists of structs with other fields",
        "list<struct<a: int8>>",
        {
            '[{"a": 1, "z": 2}, {"z": 3}, null]': [{"a": 1}, {"a": None}, None],
            "[1]": no_type("item 1: a number"),
            "[[]]": [{"a": None}],
            '{"a": 1}': no_type(),
        },
    ),
    of_values(
        "structs with a field of any value",
        "struct<a: json>",
        {
            '{"a": {"z": 1, "y": [2.0]}}': {"a": '{"y":[2],"z":1}'},
            '{"a": null}': {"a": None},
            "{}": {"a": None},
            '{"a": 1e131072}': no_range("a: 1e131072"),
        },
    ),
    of_values(
        "eight types inside of each other",
        "list<list<list<list<list<list<list<int8>>>>>>>",
        {
            "[[[[[[[1]]]]]]]": [[[[[[[1]]]]]]],
            "[[[[[[1]]]]]]": no_type(),
            "[[[[[[[[1]]]]]]]]": no_type(),
            "[[[[[[[]]]]]]]": [[[[[[[]]]]]]],
        },
    ),
]
