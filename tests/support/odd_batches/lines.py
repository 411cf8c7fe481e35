"""Lines that are no record, or a record in an odd dress: encodings, framing, sizes, keys that come twice."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.crawled import a_dataset
from tests.support.odd_batches.batch import ID, OddBatch, Refused, json_lines, no_type

_THINGS = a_dataset([ID, {"name": "x", "type": "string"}], ["id"])
_JSON = a_dataset([ID, {"name": "x", "type": "json"}], ["id"])
_NO_JSON = Refused("decode", "not JSON")
_NUL = Refused("nul")
_NO_UTF_8 = Refused("encoding", "not UTF-8")
_NO_KEY = Refused("no_key", "key column id has no value")
_EMPTY = Refused("empty")
_DEEP = 200_000

_GOOD = b'{"id": 1, "x": "good"}'
_GOOD_ROW = {"id": 1, "x": "good"}


def beside_a_good_one(name: str, *lines: bytes, refused: Refused) -> OddBatch:
    """Lines that are all refused for one reason, and cost no other."""
    return OddBatch(
        name, _THINGS, [*lines, _GOOD], [_GOOD_ROW], {place: refused for place, _ in enumerate(lines)}
    )


def taken(name: str, *lines: bytes, rows: Sequence[Mapping[str, Any]]) -> OddBatch:
    return OddBatch(name, _THINGS, lines, rows)


LINES = [
    OddBatch("no line at all", _THINGS, [], []),
    OddBatch("one line", _THINGS, [_GOOD], [_GOOD_ROW]),
    beside_a_good_one("empty lines", b"", b" ", b"\t", b"\r", refused=_NO_JSON),
    OddBatch("only empty lines", _THINGS, [b"", b"", b""], [], dict.fromkeys(range(3), _NO_JSON)),
    OddBatch(
        "every line is refused, each for a reason of its own",
        _THINGS,
        [
            b"x",
            b"null",
            b"[]",
            b'{"x": "y"}',
            b'{"id": "1"}',
            b'{"id": 1e30}',
            b'{"id": 1, "x": "\\u0000"}',
            b"\xff",
        ],
        [],
        {
            0: _NO_JSON,
            1: _EMPTY,
            2: no_type(),
            3: _NO_KEY,
            4: no_type(),
            5: Refused("range"),
            6: _NUL,
            7: _NO_UTF_8,
        },
        absent=(),
    ),
    OddBatch(
        "values that are no object",
        _THINGS,
        [b"1", b'"a"', b"true", b"[1]", b"null", b"{}", b"-0.0", _GOOD],
        [_GOOD_ROW],
        {
            0: no_type("a number where an object"),
            1: no_type("a text"),
            2: no_type("a boolean"),
            3: no_type("an array"),
            4: _EMPTY,
            5: _NO_KEY,
            6: no_type(),
        },
    ),
    OddBatch(
        "the words of other languages",
        _THINGS,
        [b"None", b"nil", b"undefined", b"True", b"NULL", b"nan", _GOOD],
        [_GOOD_ROW],
        dict.fromkeys(range(6), _NO_JSON),
    ),
    beside_a_good_one(
        "two documents in a line",
        b'{"id": 1}{"id": 2}',
        b'{"id": 1} {"id": 2}',
        b'{"id": 1},',
        b'{"id": 1} x',
        refused=_NO_JSON,
    ),
    beside_a_good_one("a document over two lines", b'{"id": 2,', b'"x": "y"}', refused=_NO_JSON),
    beside_a_good_one(
        "documents that are cut off",
        b"{",
        b'{"id"',
        b'{"id": 2',
        b'{"id": 2, "x": "y',
        b'{"id": 2, "x": "y\\',
        b'{"id": 2, "x": [',
        refused=_NO_JSON,
    ),
    beside_a_good_one(
        "JSON as people write it",
        b"{'id': 2}",
        b"{id: 2}",
        b'{"id": 2,}',
        b'{"id": 2} // note',
        b'/* note */ {"id": 2}',
        b'{"id": 2, "x": \'y\'}',
        b'{"id": 2; "x": "y"}',
        b'{"id" = 2}',
        refused=_NO_JSON,
    ),
    beside_a_good_one(
        "texts with control characters",
        b'{"id": 2, "x": "a\tb"}',
        b'{"id": 2, "x": "a\rb"}',
        b'{"id": 2, "x": "a\x01b"}',
        b'{"id": 2, "x": "a\x1fb"}',
        refused=_NO_JSON,
    ),
    taken(
        "texts with escaped control characters",
        b'{"id": 2, "x": "a\\tb\\r\\n\\u0001\\u001f\\b\\f\\/"}',
        rows=[{"id": 2, "x": "a\tb\r\n\x01\x1f\b\f/"}],
    ),
    beside_a_good_one(
        "bad escapes",
        b'{"id": 2, "x": "\\x41"}',
        b'{"id": 2, "x": "\\u12"}',
        b'{"id": 2, "x": "it\\\'s"}',
        b'{"id": 2, "x": "\\uZZZZ"}',
        b'{"id": 2, "x": "C:\\dir"}',
        refused=_NO_JSON,
    ),
    beside_a_good_one("a mark of byte order", b"\xef\xbb\xbf" + b'{"id": 2}', refused=_NO_JSON),
    taken(
        "a mark of byte order inside of a text",
        b'{"id": 2, "x": "\xef\xbb\xbfy"}',
        b'{"id": 3, "x": "\\ufeffy"}',
        rows=[{"id": 2, "x": "\ufeffy"}, {"id": 3, "x": "\ufeffy"}],
    ),
    beside_a_good_one(
        "UTF-16 in either order",
        '{"id": 2}'.encode("utf-16-be"),
        '{"id": 2}'.encode("utf-16-le"),
        refused=_NUL,
    ),
    beside_a_good_one(
        "UTF-16 with its mark, and UTF-32",
        '{"id": 2}'.encode("utf-16"),
        '{"id": 2}'.encode("utf-32"),
        refused=_NUL,
    ),
    taken(
        "lines that end as on Windows",
        b'{"id": 2, "x": "y"}\r',
        b'{"id": 3, "x": "z"}\r',
        rows=[{"id": 2, "x": "y"}, {"id": 3, "x": "z"}],
    ),
    taken(
        "lines that end in either way",
        b'{"id": 2, "x": "y"}\r',
        b'{"id": 3, "x": "z"}',
        rows=[{"id": 2, "x": "y"}, {"id": 3, "x": "z"}],
    ),
    beside_a_good_one("lines that end as on old Macintoshes", b'{"id": 2}\r{"id": 3}', refused=_NO_JSON),
    taken(
        "blanks around and inside of a document",
        b' \t{ "id" : 2 , "x" : "y" } \t',
        rows=[{"id": 2, "x": "y"}],
    ),
    beside_a_good_one(
        "blanks that JSON does not have",
        b'\xc2\xa0{"id": 2}',
        b'{"id":\xe2\x80\x832}',
        b'\x0c{"id": 2}',
        b'\x0b{"id": 2}',
        refused=_NO_JSON,
    ),
    taken(
        "line separators of Unicode are part of a text",
        '{"id": 2, "x": "a\u2028b\u2029c\u0085d"}'.encode(),
        rows=[{"id": 2, "x": "a\u2028b\u2029c\u0085d"}],
    ),
    beside_a_good_one(
        "NUL bytes", b'{"id": 2}\0', b"\0", b'{"id": 2, "x": "a\0b"}', b'\0{"id": 2}', refused=_NUL
    ),
    beside_a_good_one(
        "escaped NUL characters", b'{"id": 2, "x": "\\u0000"}', b'{"id": 2, "x": "a\\u0000b"}', refused=_NUL
    ),
    taken(
        "what only looks like an escaped NUL",
        b'{"id": 2, "x": "a\\\\u0000"}',
        b'{"id": 3, "x": "\\u00000"}'.replace(b"\\u0000", b"\\u0030"),
        rows=[{"id": 2, "x": "a\\u0000"}, {"id": 3, "x": "00"}],
    ),
    taken(
        "a NUL in a field that no column reads",
        b'{"id": 2, "x": "y", "other": "\\u0000"}',
        rows=[{"id": 2, "x": "y"}],
    ),
    beside_a_good_one(
        "halves of surrogate pairs",
        b'{"id": 2, "x": "\\ud800"}',
        b'{"id": 2, "x": "\\udc00"}',
        b'{"id": 2, "x": "\\udc00\\ud800"}',
        b'{"id": 2, "x": "\\ud83dx"}',
        refused=Refused("encoding", "half a surrogate pair"),
    ),
    taken(
        "surrogate pairs",
        b'{"id": 2, "x": "\\ud83d\\ude00"}',
        b'{"id": 3, "x": "\\uDBFF\\uDFFF"}',
        rows=[{"id": 2, "x": "\U0001f600"}, {"id": 3, "x": "\U0010ffff"}],
    ),
    taken(
        "half a surrogate pair in a field that no column reads",
        b'{"id": 2, "x": "y", "other": "\\ud800"}',
        rows=[{"id": 2, "x": "y"}],
    ),
    beside_a_good_one(
        "bytes that are no UTF-8",
        b'{"id": 2, "x": "\xff"}',
        b'{"id": 2, "x": "\xc3"}',
        b'{"id": 2, "x": "\xc0\xaf"}',
        b'{"id": 2, "x": "\xed\xa0\x80"}',
        b'{"id": 2, "x": "\xf4\x90\x80\x80"}',
        b'{"id": 2, "x": "\x80"}',
        b"\xfe\xff",
        refused=_NO_UTF_8,
    ),
    beside_a_good_one(
        "Latin-1 and the encoding of Windows",
        '{"id": 2, "x": "Zürich"}'.encode("latin-1"),
        b'{"id": 2, "x": "\x80 5"}',
        refused=_NO_UTF_8,
    ),
    beside_a_good_one(
        "bytes that are no UTF-8 in a field that no column reads",
        b'{"id": 2, "x": "y", "other": "\xff"}',
        refused=_NO_UTF_8,
    ),
    OddBatch(
        "deep nesting where a text is expected",
        _THINGS,
        [b'{"id": 2, "x": ' + b"[" * 500 + b"]" * 500 + b"}", _GOOD],
        [_GOOD_ROW],
        {0: no_type("an array")},
    ),
    OddBatch(
        "endless nesting where a text is expected",
        _THINGS,
        [b'{"id": 2, "x": ' + b"[" * _DEEP + b"]" * _DEEP + b"}", _GOOD],
        [_GOOD_ROW],
        {0: Refused("decode", "nested too deep")},
    ),
    OddBatch(
        "endless nesting that never closes",
        _THINGS,
        [b'{"id": 2, "x": ' + b"[" * _DEEP, b"[" * _DEEP, b'{"a":' * _DEEP, _GOOD],
        [_GOOD_ROW],
        dict.fromkeys(range(3), Refused("decode")),
    ),
    OddBatch(
        "endless nesting in a field that no column reads",
        _THINGS,
        [b'{"id": 2, "x": "y", "other": ' + b"[" * _DEEP + b"]" * _DEEP + b"}", _GOOD],
        [{"id": 2, "x": "y"}, _GOOD_ROW],
        is_checked=False,
    ),
    OddBatch(
        "nesting of a json column at its bound and one beyond",
        _JSON,
        [b'{"id": 2, "x": ' + b"[" * depth + b"]" * depth + b"}" for depth in (100, 101)]
        + [b'{"id": 3, "x": ' + b'{"a":' * 101 + b"1" + b"}" * 102],
        [{"id": 2, "x": "[" * 100 + "]" * 100}],
        {1: Refused("decode", "nested too deep"), 2: Refused("decode", "nested too deep")},
    ),
    OddBatch(
        "lines of 10 MB",
        _THINGS,
        [b'{"id": 2, "x": "' + b"y" * 10_000_000 + b'"}', b'{"id": 3, "x": "' + b"y" * 10_000_000, _GOOD],
        [{"id": 2, "x": "y" * 10_000_000}, _GOOD_ROW],
        {1: Refused("decode", "raw is the first 1048576 of 10000016 bytes")},
    ),
    OddBatch(
        "a line beyond 64 MiB",
        _THINGS,
        [_GOOD, b'{"id": 2, "x": "' + b"y" * 2**26 + b'"}', b'{"id": 3, "x": "z"}'],
        [_GOOD_ROW, {"id": 3, "x": "z"}],
        {1: Refused("too_large", "at most 67108864 are read")},
    ),
    OddBatch(
        "a line of 100,000 fields that no column reads",
        _THINGS,
        json_lines({"id": 2, "x": "y", **{f"f{n}": n for n in range(100_000)}}),
        [{"id": 2, "x": "y"}],
    ),
    OddBatch(
        "a key of 2,000 bytes and one beyond",
        a_dataset([{"name": "k", "type": "string"}], ["k"]),
        json_lines({"k": "k" * 2000}, {"k": "k" * 2001}, {"k": "é" * 1000}, {"k": "é" * 1000 + "k"}),
        [{"k": "k" * 2000}, {"k": "é" * 1000}],
        {1: Refused("too_large"), 3: Refused("too_large", "2001 bytes")},
    ),
    OddBatch(
        "fields that are there twice in an object: the last counts",
        _THINGS,
        [
            b'{"id": 1, "id": 2, "x": "a", "x": "b"}',
            b'{"id": 3, "x": "a", "x": null}',
            b'{"x": null, "id": 4, "x": "b"}',
        ],
        [{"id": 2, "x": "b"}, {"id": 3, "x": None}, {"id": 4, "x": "b"}],
    ),
    OddBatch(
        "fields that are there twice with other types: the last counts",
        _THINGS,
        [b'{"id": "x", "id": 2, "x": 1, "x": "b"}', b'{"id": 3, "x": "a", "x": 1}'],
        [{"id": 2, "x": "b"}],
        {1: no_type()},
    ),
    OddBatch(
        "objects that are there twice are not merged",
        a_dataset(
            [
                ID,
                {"name": "a", "from": "o.a", "type": "string"},
                {"name": "b", "from": "o.b", "type": "string"},
            ],
            ["id"],
        ),
        [b'{"id": 2, "o": {"a": "1"}, "o": {"b": "2"}}'],
        [{"id": 2, "a": None, "b": "2"}],
        absent=("a",),
    ),
    OddBatch(
        "fields that are there twice in a json column: the last counts",
        _JSON,
        [b'{"id": 2, "x": {"a": 1, "b": 0, "a": 2}}', b'{"id": 3, "x": {"a": 1, "\\u0061": 2}}'],
        [{"id": 2, "x": '{"a":2,"b":0}'}, {"id": 3, "x": '{"a":2}'}],
    ),
]
