"""Transforms of odd rows: what they filter, add, and leave without a key."""

from collections.abc import Sequence
from typing import Any

from tests.support.crawled import a_dataset
from tests.support.odd_batches.batch import ID, OddBatch, Refused, json_lines, no_range, no_type

_NAME = {"name": "name", "type": "string"}
_TAGS = {"name": "tags", "type": "list<string>"}
_TAG = {"name": "tag", "type": "string", "computed": True}
_NO_KEY = Refused("no_key", "after the transform")
_ALL = "SELECT * FROM batch"


def _transformed(
    name: str,
    columns: Sequence[Any],
    key: Sequence[str],
    steps: Sequence[Any],
    records: Sequence[Any],
    rows: Sequence[Any],
    refused: dict[int, Refused] | None = None,
    inputs: Sequence[Any] = (),
    **more: Any,
) -> OddBatch:
    dataset = a_dataset(columns, key, transform=list(steps), inputs=list(inputs))
    return OddBatch(name, dataset, json_lines(*records), rows, refused or {}, **more)


def _sql(
    name: str,
    sql: str,
    records: Sequence[Any],
    rows: Sequence[Any],
    refused: dict[int, Refused] | None = None,
    **more: Any,
) -> OddBatch:
    return _transformed(name, [ID, _NAME], ["id"], [{"sql": sql}], records, rows, refused, **more)


def _exploded(
    name: str,
    key: Sequence[str],
    records: Sequence[Any],
    rows: Sequence[Any],
    refused: dict[int, Refused] | None = None,
    **more: Any,
) -> OddBatch:
    steps = [{"sql": "SELECT * EXCLUDE (tags), tags AS tag FROM batch"}, {"explode": "tag"}]
    return _transformed(name, [ID, _TAG], key, steps, records, rows, refused, inputs=[_TAGS], **more)


_ENDLESS = """
    SELECT *, CASE id WHEN 1 THEN 'NaN'::DOUBLE WHEN 2 THEN 'inf'::DOUBLE WHEN 3 THEN '-inf'::DOUBLE ELSE n END AS n
    FROM batch
"""
_BEYOND_DAYS = """
    SELECT *, CASE id WHEN 1 THEN 'infinity'::DATE WHEN 2 THEN DATE '10000-01-01' WHEN 3 THEN DATE '0001-01-01' - 1
    END AS d FROM batch
"""
_ONE_OF_ALL = """
    SELECT max(id) AS id, string_agg(name, '' ORDER BY id) AS name, max(_source_position) AS _source_position
    FROM batch
"""

_A, _B = {"id": 1, "name": "a"}, {"id": 2, "name": "b"}

TRANSFORMS = [
    _sql("a statement that changes nothing", _ALL, [_A, _B], [_A, _B]),
    _sql("a statement that filters every row", f"{_ALL} WHERE false", [_A, _B], [], filtered=2),
    _sql(
        "a statement that filters every row but what was refused before",
        f"{_ALL} WHERE id > 5",
        [_A, {"id": "x"}, _B],
        [],
        {1: no_type()},
        filtered=2,
    ),
    _sql(
        "a statement over a batch in which every line was refused",
        f"{_ALL} WHERE id > 0",
        [{"id": "x"}, None],
        [],
        {0: no_type(), 1: Refused("empty")},
        absent=("name",),
    ),
    _sql(
        "a condition on null filters",
        f"{_ALL} WHERE name <> 'a'",
        [_A, {"id": 2, "name": None}, {"id": 3, "name": "c"}],
        [{"id": 3, "name": "c"}],
        filtered=2,
    ),
    _sql("a statement over no rows", _ALL, [], []),
    _sql(
        "a key that is null after the transform",
        "SELECT *, nullif(id, 2) AS id FROM batch",
        [_A, _B],
        [_A],
        {1: _NO_KEY},
    ),
    _sql(
        "every key is null after the transform",
        "SELECT *, CAST(NULL AS BIGINT) AS id FROM batch",
        [_A, _B],
        [],
        {0: _NO_KEY, 1: _NO_KEY},
    ),
    _sql(
        "keys that are one after the transform: the last counts",
        "SELECT *, 7 AS id FROM batch",
        [_A, _B],
        [{"id": 7, "name": "b"}],
        deduplicated=1,
    ),
    _sql("every row twice", "SELECT b.* FROM batch b, range(2)", [_A, _B], [_A, _B], added=2, deduplicated=2),
    _sql(
        "a row of each line a hundred times",
        "SELECT b.* EXCLUDE (id), b.id * 100 + n AS id FROM batch b, range(100) AS r(n)",
        [{"id": 0, "name": "a"}, {"id": 1, "name": "b"}],
        [{"id": n, "name": "ab"[n // 100]} for n in range(200)],
        added=198,
    ),
    _sql("one row of all", _ONE_OF_ALL, [_A, _B], [{"id": 2, "name": "ab"}], filtered=1),
    _sql(
        "text with a NUL after the transform",
        "SELECT *, CASE WHEN id = 1 THEN chr(0) ELSE name END AS name FROM batch",
        [_A, _B],
        [_B],
        {0: Refused("nul")},
    ),
    _sql(
        "odd characters pass a statement",
        _ALL,
        [
            {"id": 1, "name": "\U0001f600\u200b\u202ee\u0301"},
            {"id": 2, "name": ""},
            {"id": 3, "name": "a\r\n\tb"},
        ],
        [
            {"id": 1, "name": "\U0001f600\u200b\u202ee\u0301"},
            {"id": 2, "name": ""},
            {"id": 3, "name": "a\r\n\tb"},
        ],
    ),
    _transformed(
        "numbers without end after the transform",
        [ID, {"name": "n", "type": "float64"}],
        ["id"],
        [{"sql": _ENDLESS}],
        [{"id": n, "n": n} for n in range(1, 5)],
        [{"id": 4, "n": 4.0}],
        {0: no_range(), 1: no_range(), 2: no_range()},
    ),
    _transformed(
        "days beyond the calendar after the transform",
        [ID, {"name": "d", "type": "date"}],
        ["id"],
        [{"sql": _BEYOND_DAYS}],
        [{"id": n, "d": None} for n in range(1, 5)],
        [{"id": 4, "d": None}],
        {0: no_range(), 1: no_range(), 2: no_range()},
    ),
    _transformed(
        "a word that is none of a closed set after the transform",
        [ID, {"name": "s", "type": "enum(a, b)"}],
        ["id"],
        [{"sql": "SELECT *, CASE id WHEN 1 THEN 'b' ELSE 'c' END AS s FROM batch"}],
        [{"id": 1, "s": "a"}, {"id": 2, "s": "a"}],
        [{"id": 1, "s": "b"}],
        {1: no_range()},
    ),
    _transformed(
        "a key of 2,001 bytes after the transform",
        [{"name": "k", "type": "string"}],
        ["k"],
        [{"sql": "SELECT *, repeat(k, 2001) AS k FROM batch"}],
        [{"k": "a"}, {"k": ""}],
        [{"k": ""}],
        {0: Refused("too_large")},
    ),
    _exploded(
        "a row for each value",
        ["id", "tag"],
        [{"id": 1, "tags": ["a", "b"]}, {"id": 2, "tags": ["c"]}],
        [{"id": 1, "tag": "a"}, {"id": 1, "tag": "b"}, {"id": 2, "tag": "c"}],
        added=1,
    ),
    _exploded(
        "an empty list leaves its row",
        ["id"],
        [{"id": 1, "tags": []}, {"id": 2, "tags": ["a"]}],
        [{"id": 1, "tag": None}, {"id": 2, "tag": "a"}],
    ),
    _exploded(
        "a list that is null leaves its row",
        ["id"],
        [{"id": 1, "tags": None}, {"id": 2, "tags": ["a"]}],
        [{"id": 1, "tag": None}, {"id": 2, "tag": "a"}],
    ),
    _exploded(
        "all lists are empty",
        ["id"],
        [{"id": 1, "tags": []}, {"id": 2, "tags": None}, {"id": 3}],
        [{"id": n, "tag": None} for n in (1, 2, 3)],
    ),
    _exploded(
        "an empty list whose values are the key",
        ["id", "tag"],
        [{"id": 1, "tags": []}, {"id": 2, "tags": None}, {"id": 3, "tags": ["a"]}],
        [{"id": 3, "tag": "a"}],
        {0: _NO_KEY, 1: _NO_KEY},
    ),
    _exploded(
        "a null in a list whose values are the key refuses the line",
        ["id", "tag"],
        [{"id": 1, "tags": ["a", None, "b"]}, {"id": 2, "tags": ["c"]}],
        [{"id": 2, "tag": "c"}],
        {0: _NO_KEY},
    ),
    _exploded(
        "a list of nulls",
        ["id"],
        [{"id": 1, "tags": [None, None]}],
        [{"id": 1, "tag": None}],
        added=1,
        deduplicated=1,
    ),
    _exploded(
        "values that are there twice in a list",
        ["id", "tag"],
        [{"id": 1, "tags": ["a", "b", "a"]}, {"id": 1, "tags": ["a"]}],
        [{"id": 1, "tag": "b"}, {"id": 1, "tag": "a"}],
        added=2,
        deduplicated=2,
    ),
    _exploded(
        "values where the key is that of the line: the last counts",
        ["id"],
        [{"id": 1, "tags": ["a", "b", "c"]}],
        [{"id": 1, "tag": "c"}],
        added=2,
        deduplicated=2,
    ),
    _exploded(
        "a list of 10,000 values",
        ["tag"],
        [{"id": 1, "tags": [f"{n:05}" for n in range(10_000)]}],
        [{"id": 1, "tag": f"{n:05}"} for n in range(10_000)],
        added=9_999,
    ),
    _exploded(
        "lists with wrong values before they are exploded",
        ["id", "tag"],
        [{"id": 1, "tags": ["a", 1]}, {"id": 2, "tags": "b"}, {"id": 3, "tags": ["c"]}],
        [{"id": 3, "tag": "c"}],
        {0: no_type("tags: item 2"), 1: no_type("tags: a text")},
    ),
    _transformed(
        "an exploded list that is filtered afterwards",
        [ID, _TAG],
        ["id", "tag"],
        [
            {"sql": "SELECT * EXCLUDE (tags), tags AS tag FROM batch"},
            {"explode": "tag"},
            {"sql": "SELECT * FROM batch WHERE tag > 'a'"},
        ],
        [{"id": 1, "tags": ["a", "b", "c"]}, {"id": 2, "tags": ["a"]}, {"id": 3, "tags": []}],
        [{"id": 1, "tag": "b"}, {"id": 1, "tag": "c"}],
        inputs=[_TAGS],
        added=1,
        filtered=2,
    ),
    _transformed(
        "a key of which a mask leaves a part: the last counts",
        [{"name": "k", "type": "string"}, {"name": "n", "type": "int64"}],
        ["k"],
        [{"mask": {"k": "truncate(2)"}}],
        [{"k": "abc", "n": 1}, {"k": "abd", "n": 2}, {"k": "\u00e9\U0001f600x", "n": 3}, {"k": "", "n": 4}],
        [{"k": "ab", "n": 2}, {"k": "\u00e9\U0001f600", "n": 3}, {"k": "", "n": 4}],
        deduplicated=1,
    ),
    _transformed(
        "a mask that leaves nothing of a key",
        [ID, _NAME],
        ["id", "name"],
        [{"mask": {"name": None}}],
        [_A, _B],
        [],
        {0: _NO_KEY, 1: _NO_KEY},
    ),
    _transformed(
        "a mask that leaves nothing of a value",
        [ID, _NAME],
        ["id"],
        [{"mask": {"name": None}}],
        [_A, {"id": 2, "name": None}],
        [{"id": 1, "name": None}, {"id": 2, "name": None}],
    ),
    _transformed(
        "a mask on odd characters",
        [ID, _NAME],
        ["id"],
        [{"mask": {"name": "truncate(1)"}}],
        [
            {"id": 1, "name": "\U0001f600a"},
            {"id": 2, "name": "e\u0301"},
            {"id": 3, "name": ""},
            {"id": 4, "name": None},
        ],
        [
            {"id": 1, "name": "\U0001f600"},
            {"id": 2, "name": "e"},
            {"id": 3, "name": ""},
            {"id": 4, "name": None},
        ],
    ),
]
