"""Keys that come twice, columns without values, and tables of unusual shape."""

from datetime import UTC, datetime
from decimal import Decimal

from tests.support.crawled import a_dataset
from tests.support.odd_batches.batch import ID, OddBatch, Refused, json_lines, no_type

_THINGS = a_dataset([ID, {"name": "x", "type": "string"}], ["id"])
_TWO_KEYS = a_dataset([ID, {"name": "day", "type": "date", "nulls": ["-"]}], ["id", "day"])
_NO_KEY = Refused("no_key")
_WIDE = [f"c{place}" for place in range(1499)]


ROWS = [
    OddBatch(
        "a key twice with the same content",
        _THINGS,
        json_lines({"id": 1, "x": "a"}, {"id": 2, "x": "b"}, {"id": 1, "x": "a"}),
        [{"id": 2, "x": "b"}, {"id": 1, "x": "a"}],
        deduplicated=1,
    ),
    OddBatch(
        "a key twice with other content: the last counts",
        _THINGS,
        json_lines({"id": 1, "x": "a"}, {"id": 2, "x": "b"}, {"id": 1, "x": "c"}),
        [{"id": 2, "x": "b"}, {"id": 1, "x": "c"}],
        deduplicated=1,
    ),
    OddBatch(
        "a key twice, and the last is refused",
        _THINGS,
        json_lines({"id": 1, "x": "a"}, {"id": 1, "x": 5}),
        [{"id": 1, "x": "a"}],
        {1: no_type()},
    ),
    OddBatch(
        "one key in every line",
        _THINGS,
        json_lines(*({"id": 7, "x": str(n)} for n in range(1000))),
        [{"id": 7, "x": "999"}],
        deduplicated=999,
    ),
    OddBatch(
        "a key that is written in different ways",
        _THINGS,
        [
            b'{"id": 1, "x": "a"}',
            b'{"id": 1.0, "x": "b"}',
            b'{"id": 1e0, "x": "c"}',
            b'{"id": 10e-1, "x": "d"}',
        ],
        [{"id": 1, "x": "d"}],
        deduplicated=3,
    ),
    OddBatch(
        "keys of text that only look the same",
        a_dataset([{"name": "k", "type": "string"}], ["k"]),
        json_lines(*({"k": k} for k in ("é", "e\u0301", "E", "e", " e", "e ", "\u0435", "e\u200b", "", " "))),
        [{"k": k} for k in ("é", "e\u0301", "E", "e", " e", "e ", "\u0435", "e\u200b", "", " ")],
    ),
    OddBatch(
        "keys of text that are the same when trimmed",
        a_dataset([{"name": "k", "type": "string", "trim": True}], ["k"]),
        json_lines({"k": "e"}, {"k": " e"}, {"k": "e\t\n"}, {"k": "\u00a0e\ufeff"}),
        [{"k": "e"}],
        deduplicated=3,
    ),
    OddBatch(
        "a key that is an empty text",
        a_dataset([{"name": "k", "type": "string", "empty_as_null": True}], ["k"]),
        json_lines({"k": ""}, {"k": " "}),
        [{"k": " "}],
        {0: _NO_KEY},
    ),
    OddBatch(
        "a key that is a null marker",
        a_dataset([{"name": "k", "type": "int64", "nulls": ["n/a"]}], ["k"]),
        json_lines({"k": "n/a"}, {"k": 1}, {"k": None}, {}),
        [{"k": 1}],
        {0: _NO_KEY, 2: _NO_KEY, 3: _NO_KEY},
    ),
    OddBatch(
        "a key of two columns, of which one is null",
        _TWO_KEYS,
        json_lines(
            {"id": 1, "day": "2026-01-01"},
            {"id": 1, "day": None},
            {"day": "2026-01-01"},
            {"id": 1, "day": "-"},
            {"id": 2, "day": "2026-01-01"},
        ),
        [
            {"id": 1, "day": datetime(2026, 1, 1, tzinfo=UTC).date()},
            {"id": 2, "day": datetime(2026, 1, 1, tzinfo=UTC).date()},
        ],
        {1: _NO_KEY, 2: _NO_KEY, 3: _NO_KEY},
    ),
    OddBatch(
        "keys of moments that are one moment",
        a_dataset([{"name": "t", "type": "timestamp"}], ["t"]),
        json_lines(
            {"t": "2026-01-01T00:00:00Z"},
            {"t": "2026-01-01T01:00:00+01:00"},
            {"t": "2026-01-01"},
            {"t": "2026-01-01T00:00:00.0000001Z"},
        ),
        [{"t": datetime(2026, 1, 1, tzinfo=UTC)}],
        deduplicated=3,
    ),
    OddBatch(
        "keys of decimals that are one value",
        a_dataset([{"name": "d", "type": "decimal(9,2)"}], ["d"]),
        [b'{"d": 1.5}', b'{"d": "1.50"}', b'{"d": 15e-1}', b'{"d": 0.0}', b'{"d": -0.0}'],
        [{"d": Decimal("1.50")}, {"d": Decimal("0.00")}],
        deduplicated=3,
    ),
    OddBatch(
        "keys of floats: both zeros are one key",
        a_dataset([{"name": "f", "type": "float64"}], ["f"]),
        [b'{"f": 0.0}', b'{"f": -0.0}', b'{"f": 0.1}', b'{"f": 0.10000000000000001}'],
        [{"f": -0.0}, {"f": 0.1}],
        deduplicated=2,
    ),
    OddBatch(
        "keys of uuids in all spellings",
        a_dataset([{"name": "u", "type": "uuid"}], ["u"]),
        json_lines(
            *(
                {"u": u}
                for u in (
                    "0B0E0000-0000-4000-8000-0000000000FF",
                    "0b0e0000-0000-4000-8000-0000000000ff",
                    "0b0e00000000400080000000000000ff",
                )
            )
        ),
        [{"u": "0b0e0000-0000-4000-8000-0000000000ff"}],
        deduplicated=2,
    ),
    OddBatch(
        "keys of booleans",
        a_dataset([{"name": "b", "type": "boolean"}], ["b"]),
        json_lines(*({"b": n % 2 == 0} for n in range(5))),
        [{"b": False}, {"b": True}],
        deduplicated=3,
    ),
    OddBatch(
        "a single column",
        a_dataset([ID], ["id"]),
        json_lines({"id": 1}, {"id": 2, "x": 1}, {"id": 1}),
        [{"id": 2}, {"id": 1}],
        deduplicated=1,
    ),
    OddBatch(
        "all of a column is null",
        _THINGS,
        json_lines({"id": 1, "x": None}, {"id": 2, "x": None}),
        [{"id": 1, "x": None}, {"id": 2, "x": None}],
    ),
    OddBatch(
        "all of a key is null",
        _THINGS,
        json_lines({"id": None, "x": "a"}, {"id": None, "x": "b"}),
        [],
        {0: _NO_KEY, 1: _NO_KEY},
    ),
    OddBatch(
        "all values of every type are null",
        a_dataset(
            [
                ID,
                *(
                    {"name": f"c{n}", "type": kind}
                    for n, kind in enumerate(
                        (
                            "string",
                            "int8",
                            "float32",
                            "decimal(9,2)",
                            "boolean",
                            "timestamp",
                            "date",
                            "time",
                            "duration",
                            "uuid",
                            "binary",
                            "json",
                            "enum(a)",
                            "list<int8>",
                            "struct<a: int8>",
                        )
                    )
                ),
            ],
            ["id"],
        ),
        json_lines({"id": 1, **{f"c{n}": None for n in range(15)}}),
        [{"id": 1, **{f"c{n}": None for n in range(15)}}],
    ),
    OddBatch(
        "all of a column is filled",
        a_dataset([ID, {"name": "x", "type": "string", "fill": "?", "nulls": ["-"]}], ["id"]),
        json_lines({"id": 1, "x": None}, {"id": 2}, {"id": 3, "x": "-"}, {"id": 4, "x": ""}),
        [{"id": 1, "x": "?"}, {"id": 2, "x": "?"}, {"id": 3, "x": "?"}, {"id": 4, "x": ""}],
    ),
    OddBatch(
        "1,500 columns",
        a_dataset([ID, *({"name": name, "type": "boolean"} for name in _WIDE)], ["id"]),
        json_lines({"id": 1, **dict.fromkeys(_WIDE, True)}, {"id": 2, **dict.fromkeys(_WIDE, False)}),
        [{"id": 1, **dict.fromkeys(_WIDE, True)}, {"id": 2, **dict.fromkeys(_WIDE, False)}],
    ),
    OddBatch(
        "1,500 columns of which each record has a few",
        a_dataset([ID, *({"name": name, "type": "string"} for name in _WIDE)], ["id"]),
        json_lines(*({"id": n, f"c{50 * n}": "v"} for n in range(30))),
        [{"id": n, **dict.fromkeys(_WIDE), f"c{50 * n}": "v"} for n in range(30)],
        absent=tuple(f"c{n}" for n in range(1499) if n % 50),
    ),
    OddBatch(
        "a row of 1,500 columns that is too wide for its table",
        a_dataset([ID, *({"name": name, "type": "string"} for name in _WIDE)], ["id"]),
        json_lines({"id": 1, **dict.fromkeys(_WIDE, "a long text")}, {"id": 2, "c0": "v", "c1498": "w"}),
        [{"id": 2, **dict.fromkeys(_WIDE), "c0": "v", "c1498": "w"}],
        {0: Refused("too_large", "a row holds 8160")},
    ),
    OddBatch(
        "a refused line among a thousand costs no other",
        _THINGS,
        [b'{"id": %d, "x": "v"}' % n if n != 500 else b'{"id": 500, "x": 5}' for n in range(1001)],
        [{"id": n, "x": "v"} for n in range(1001) if n != 500],
        {500: no_type()},
    ),
]
