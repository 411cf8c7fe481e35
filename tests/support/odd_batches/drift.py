"""Sources that changed: fields that are new, missing, renamed, in other order, of another type, or at another depth."""

from typing import Any

from tests.support.crawled import a_dataset
from tests.support.odd_batches.batch import ID, OddBatch, Refused, json_lines, no_range, no_type

_NAME = {"name": "name", "type": "string"}
_CITY = {"name": "city", "from": "address.city", "type": "string"}
_ZIP = {"name": "zip", "from": "address.zip", "type": "string"}
_PEOPLE = a_dataset([ID, _NAME], ["id"])
_PLACES = a_dataset([ID, _CITY, _ZIP], ["id"])
_NO_KEY = Refused("no_key")


def _people(name: str, *records: Any, rows: list[dict[str, Any]], **more: Any) -> OddBatch:
    return OddBatch(name, _PEOPLE, json_lines(*records), rows, **more)


DRIFT = [
    _people(
        "a new field in every record",
        {"id": 1, "name": "a", "age": 3},
        {"id": 2, "name": "b", "age": None},
        rows=[{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    ),
    _people(
        "a new field from the middle on",
        {"id": 1, "name": "a"},
        {"id": 2, "name": "b", "age": 3},
        rows=[{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    ),
    _people(
        "a new field of another type in each record",
        {"id": 1, "name": "a", "z": 1},
        {"id": 2, "name": "b", "z": "x"},
        {"id": 3, "name": "c", "z": [1]},
        {"id": 4, "name": "d", "z": {"a": 1}},
        {"id": 5, "name": "e", "z": True},
        rows=[{"id": n, "name": name} for n, name in enumerate("abcde", 1)],
    ),
    _people(
        "a field that some records do not have",
        {"id": 1, "name": "a"},
        {"id": 2},
        rows=[{"id": 1, "name": "a"}, {"id": 2, "name": None}],
    ),
    _people(
        "a field that no record has",
        {"id": 1},
        {"id": 2},
        rows=[{"id": 1, "name": None}, {"id": 2, "name": None}],
        absent=("name",),
    ),
    _people(
        "a field that no record has, and others that were there before",
        {"id": 1, "age": 3},
        rows=[{"id": 1, "name": None}],
        absent=("name",),
        unnamed=("age",),
    ),
    _people(
        "a key that no record has",
        {"name": "a"},
        {"name": "b"},
        rows=[],
        refused={0: _NO_KEY, 1: _NO_KEY},
        absent=("id",),
    ),
    _people(
        "a field that has another name now",
        {"id": 1, "full_name": "a"},
        {"id": 2, "full_name": "b"},
        rows=[{"id": 1, "name": None}, {"id": 2, "name": None}],
        absent=("name",),
        unnamed=("full_name",),
    ),
    _people(
        "a field that has another name from the middle on",
        {"id": 1, "name": "a"},
        {"id": 2, "full_name": "b"},
        rows=[{"id": 1, "name": "a"}, {"id": 2, "name": None}],
    ),
    _people(
        "a field in capitals",
        {"id": 1, "Name": "a"},
        {"id": 2, "NAME": "b"},
        rows=[{"id": 1, "name": None}, {"id": 2, "name": None}],
        absent=("name",),
        unnamed=("NAME", "Name"),
    ),
    _people(
        "a key in capitals",
        {"ID": 1, "name": "a"},
        rows=[],
        refused={0: _NO_KEY},
        absent=("id",),
        unnamed=("ID",),
    ),
    _people(
        "a field in both cases",
        {"id": 1, "name": "a", "Name": "b"},
        {"Id": 5, "id": 2, "name": "c"},
        rows=[{"id": 1, "name": "a"}, {"id": 2, "name": "c"}],
    ),
    OddBatch(
        "fields that differ in their case only are columns of their own",
        a_dataset([ID, _NAME, {"name": "name_2", "from": "Name", "type": "int64"}], ["id"]),
        json_lines(
            {"id": 1, "name": "a", "Name": 1}, {"id": 2, "Name": 2}, {"id": 3, "Name": "a", "name": 1}
        ),
        [{"id": 1, "name": "a", "name_2": 1}, {"id": 2, "name": None, "name_2": 2}],
        {2: no_type()},
    ),
    _people(
        "fields in another order",
        {"name": "a", "id": 1},
        {"id": 2, "name": "b"},
        rows=[{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    ),
    _people(
        "names of fields that only look the same",
        {"id": 1, "n\u0430me": "a"},
        {"id": 2, "nam\u0435": "b"},
        {"id": 3, "name ": "c"},
        {"id": 4, "\uff4eame": "d"},
        rows=[{"id": n, "name": None} for n in range(1, 5)],
        absent=("name",),
        unnamed=('"name "', "nam\u0435", "n\u0430me", "\uff4eame"),
    ),
    _people(
        "a key whose name only looks the same",
        {"\u0456d": 1, "name": "a"},
        {"id": 2, "name": "b"},
        rows=[{"id": 2, "name": "b"}],
        refused={0: _NO_KEY},
    ),
    OddBatch(
        "names of fields that are composed otherwise",
        a_dataset([ID, {"name": "cafe", "from": "caf\u00e9", "type": "string"}], ["id"]),
        json_lines({"id": 1, "caf\u00e9": "a"}, {"id": 2, "cafe\u0301": "b"}),
        [{"id": 1, "cafe": "a"}, {"id": 2, "cafe": None}],
    ),
    OddBatch(
        "names of fields that are escaped",
        _PEOPLE,
        [b'{"id": 1, "n\\u0061me": "a"}', b'{"\\u0069d": 2, "name": "b"}'],
        [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    ),
    _people(
        "a number that became a text",
        {"id": 1, "name": "a"},
        {"id": "2", "name": "b"},
        rows=[{"id": 1, "name": "a"}],
        refused={1: no_type("id: a text where int64")},
    ),
    _people(
        "a text that became a number",
        {"id": 1, "name": "a"},
        {"id": 2, "name": 5},
        rows=[{"id": 1, "name": "a"}],
        refused={1: no_type("name: a number")},
    ),
    _people(
        "a text that became an object",
        {"id": 1, "name": "a"},
        {"id": 2, "name": {"first": "b"}},
        rows=[{"id": 1, "name": "a"}],
        refused={1: no_type("name: an object")},
    ),
    _people(
        "a text that became a list",
        {"id": 1, "name": "a"},
        {"id": 2, "name": ["b"]},
        rows=[{"id": 1, "name": "a"}],
        refused={1: no_type("name: an array")},
    ),
    _people(
        "a text that became a boolean",
        {"id": 1, "name": "a"},
        {"id": 2, "name": False},
        rows=[{"id": 1, "name": "a"}],
        refused={1: no_type("name: a boolean")},
    ),
    OddBatch(
        "a whole number that became wider",
        a_dataset([ID, {"name": "n", "type": "int32"}], ["id"]),
        json_lines({"id": 1, "n": 2**31 - 1}, {"id": 2, "n": 2**31}),
        [{"id": 1, "n": 2**31 - 1}],
        {1: no_range("n: 2147483648")},
    ),
    OddBatch(
        "a whole number that got a fraction",
        a_dataset([ID, {"name": "n", "type": "int32"}], ["id"]),
        [b'{"id": 1, "n": 1}', b'{"id": 2, "n": 1.5}', b'{"id": 3, "n": 2.0}'],
        [{"id": 1, "n": 1}, {"id": 3, "n": 2}],
        {1: no_type()},
    ),
    OddBatch(
        "a field at another depth",
        _PLACES,
        json_lines({"id": 1, "address": {"city": "B", "zip": "1"}}, {"id": 2, "city": "C", "zip": "2"}),
        [{"id": 1, "city": "B", "zip": "1"}, {"id": 2, "city": None, "zip": None}],
    ),
    OddBatch(
        "a field that went up in every record",
        _PLACES,
        json_lines({"id": 1, "city": "B", "zip": "1"}),
        [{"id": 1, "city": None, "zip": None}],
        absent=("city", "zip"),
        unnamed=("city", "zip"),
    ),
    OddBatch(
        "a field that went down in every record",
        _PLACES,
        json_lines({"id": 1, "user": {"address": {"city": "B", "zip": "1"}}}),
        [{"id": 1, "city": None, "zip": None}],
        absent=("city", "zip"),
        unnamed=("user",),
    ),
    OddBatch(
        "objects that became a text",
        _PLACES,
        json_lines(
            {"id": 1, "address": {"city": "B"}},
            {"id": 2, "address": "C 2"},
            {"id": 3, "address": 5},
            {"id": 4, "address": False},
        ),
        [{"id": 1, "city": "B", "zip": None}],
        {1: no_type("address: a text where an object"), 2: no_type(), 3: no_type()},
        absent=("zip",),
    ),
    OddBatch(
        "objects that became a list",
        _PLACES,
        json_lines(
            {"id": 1, "address": [{"city": "B"}]},
            {"id": 2, "address": []},
            {"id": 3, "address": {"city": "C", "zip": "1"}},
        ),
        [{"id": 2, "city": None, "zip": None}, {"id": 3, "city": "C", "zip": "1"}],
        {0: no_type("address: an array")},
    ),
    OddBatch(
        "objects that are null",
        _PLACES,
        json_lines({"id": 1, "address": None}, {"id": 2, "address": {}}, {"id": 3}),
        [{"id": n, "city": None, "zip": None} for n in (1, 2, 3)],
    ),
    OddBatch(
        "objects of which a part is gone",
        _PLACES,
        json_lines({"id": 1, "address": {"city": "B"}}, {"id": 2, "address": {"city": "C"}}),
        [{"id": 1, "city": "B", "zip": None}, {"id": 2, "city": "C", "zip": None}],
        absent=("zip",),
    ),
    OddBatch(
        "a name with a dot, and an object of that name",
        a_dataset(
            [
                ID,
                {"name": "a", "from": "u.n", "type": "string"},
                {"name": "b", "from": r"u\.n", "type": "string"},
            ],
            ["id"],
        ),
        json_lines({"id": 1, "u": {"n": "1"}, "u.n": "2"}, {"id": 2, "u.n": "3"}, {"id": 3, "u": {"n": "4"}}),
        [{"id": 1, "a": "1", "b": "2"}, {"id": 2, "a": None, "b": "3"}, {"id": 3, "a": "4", "b": None}],
    ),
    OddBatch(
        "a number that now always is a text is read where the file says so",
        a_dataset([ID, {"name": "n", "type": "int64", "from_text": True}], ["id"]),
        json_lines(*({"id": n, "n": n if n < 300 else str(n)} for n in range(600))),
        [{"id": n, "n": n} for n in range(600)],
    ),
    OddBatch(
        "an envelope where records are",
        _PEOPLE,
        json_lines({"data": [{"id": 1}]}, {"error": "rate limit"}, {"id": 1, "name": "a"}),
        [{"id": 1, "name": "a"}],
        {0: _NO_KEY, 1: _NO_KEY},
    ),
]
