"""The error of a wrong dataset file: a plain sentence that tells what to write, and never a word of a library."""

import copy
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from shared.datasets.catalog import DatasetFile, RefusedFile, read_file
from shared.datasets.pagination import PAGINATION_KINDS
from shared.events.names import SUPPORTED_FORMATS, Format

FULL: dict[str, Any] = {
    "name": "things",
    "source": {
        "name": "shop",
        "kind": "api",
        "base_url": "https://shop.example",
        "path": "/things",
        "pagination": {
            "kind": "page",
            "page_param": "p",
            "size_param": "n",
            "size": 50,
            "total_header": "X-Total",
            "first": 0,
            "repeats": "end",
            "end_statuses": [404],
        },
        "records_path": ["data"],
        "requests_per_second": 5,
        "concurrency": 2,
    },
    "table": "things",
    "key": ["id"],
    "columns": [
        {"name": "id", "type": "int64"},
        {"name": "label", "type": "string", "from": "a.b", "fill": "none"},
    ],
    "formats": ["parquet", "csv"],
    "exports": {
        "parquet": {"compression": "zstd", "level": 3, "row_group_rows": 5000},
        "csv": {"delimiter": ";", "quote": "all", "decimal_comma": True, "date_format": "%d.%m.%Y"},
        "json": {"shape": "array"},
        "max_rows": 100,
    },
    "max_rejected_ratio": 0.1,
    "max_missing_ratio": 0.1,
    "checks": [
        {"kind": "row_count", "min": 1, "max": 9, "severity": "warn"},
        {"kind": "not_null", "column": "label", "max": 1, "severity": "error"},
        {"kind": "unique", "columns": ["id"], "severity": "error"},
    ],
    "schema": {"new_columns": "evolve", "types": "widen", "max_columns": 5},
    "schema_version": 2,
}

WRONG: list[Any] = [
    None, True, 0, -1, 2**70, 1.5, float("nan"), "", "x y", "Ünknown", "x" * 5000, "\u0007",
    [], ["x"], [None], [{}], {}, {"x": 1}, {"kind": "x"}, {"kind": []},
]  # fmt: skip

LIBRARY = re.compile(
    r"(?i:input should|valid (?:string|integer|number|tuple|dictionary|list)|tuple|pydantic|discriminator|extra input|"
    r"field required|unable to|validation|instance of|parse|datetime\.|literal|union|yaml\.org|error:|[a-z]error\b)|"
    r"\^\[|\[a-z\]|(?<!\.)\b(?:dict|str|int|bool|None|True|False|NoneType|nan|inf)\b"
)


def read(folder: Path, document: Any) -> DatasetFile | RefusedFile:
    """A document as JSON, which is YAML too."""
    path = folder / "things.yaml"
    text = document if isinstance(document, str) else _yaml(document)
    path.write_text(text, encoding="utf-8")
    return read_file(path, {})


def _yaml(value: Any) -> str:
    text = json.dumps(value, indent=1, ensure_ascii=True)
    return text.replace("NaN", ".nan").replace("Infinity", ".inf")


def refusal(folder: Path, document: Any) -> RefusedFile:
    found = read(folder, document)
    assert isinstance(found, RefusedFile)
    return found


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield above
    if isinstance(value, dict | list):
        for step, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(part, (*above, step))


def changed(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    document = copy.deepcopy(document)
    holder = document
    for step in place[:-1]:
        holder = holder[step]
    if value is ...:
        del holder[place[-1]]
    else:
        holder[place[-1]] = value
    return document


def test_the_full_example_is_good(tmp_path: Path) -> None:
    assert isinstance(read(tmp_path, FULL), DatasetFile)


def example_of(kind: str) -> dict[str, Any]:
    """The kind with the options that it needs, as messages show them."""
    fields = PAGINATION_KINDS[kind].model_fields
    needed = {name: field.examples for name, field in fields.items() if field.is_required()}
    assert all(needed[name] for name in needed.keys() - {"kind"}), "a message shows each needed option"
    return {"kind": kind} | {name: yaml.safe_load(shown[0]) for name, shown in needed.items() if shown}


@pytest.mark.parametrize("kind", PAGINATION_KINDS)
def test_the_options_that_messages_show_are_good(tmp_path: Path, kind: str) -> None:
    assert isinstance(read(tmp_path, changed(FULL, ("source", "pagination"), example_of(kind))), DatasetFile)


@pytest.mark.parametrize(
    "pagination",
    [FULL["source"]["pagination"], *(example_of(kind) for kind in PAGINATION_KINDS if kind != "page")],
    ids=lambda pagination: pagination["kind"],
)
def test_no_error_of_a_wrong_document_has_words_of_a_library(tmp_path: Path, pagination: Any) -> None:
    document = changed(FULL, ("source", "pagination"), pagination)
    refusals = {}
    changes = itertools.product(places(document), [*WRONG, ...])
    for place, wrong in changes:
        if (not place and wrong is ...) or (document != FULL and place[:2] != ("source", "pagination")):
            continue
        found = read(tmp_path, changed(document, place, wrong))
        if isinstance(found, RefusedFile):
            refusals[place, repr(wrong)] = found
            assert 1 <= found.line <= 95
    assert len(refusals) > 40
    for (place, wrong), refused in refusals.items():
        assert not LIBRARY.search(refused.reason), f"{place} {wrong}: {refused.reason}"
        assert len(refused.reason) < 700, f"{place} {wrong}: {refused.reason}"
        assert refused.reason.isprintable()


def test_no_error_of_an_unknown_field_has_words_of_a_library(tmp_path: Path) -> None:
    for place in places(FULL):
        holder: Any = FULL
        for step in place:
            holder = holder[step]
        if isinstance(holder, dict):
            for name in ("page", "unique", "fields", "KEY", "x" * 300, "", "column"):
                if name not in holder:
                    refused = refusal(tmp_path, changed(FULL, place, {**holder, name: 1}))
                    assert "there is no field" in refused.reason
                    assert not LIBRARY.search(refused.reason.replace(name, "") if name else refused.reason)


@pytest.mark.parametrize(
    ("place", "name", "near"),
    [
        ((), "keys", "key"),
        ((), "tabel", "table"),
        ((), "Columns", "columns"),
        ((), "max_reject_ratio", "max_rejected_ratio"),
        (("source",), "url", "base_url"),
        (("source",), "request_per_second", "requests_per_second"),
        (("source", "pagination"), "page_parm", "page_param"),
        (("source", "pagination"), "total_heder", "total_header"),
        (("columns", 0), "typ", "type"),
        (("columns", 0), "form", "from"),
        (("checks", 0), "minimum", "min"),
        (("checks", 1), "columm", "column"),
    ],
)
def test_an_unknown_field_names_the_nearest_known_one(
    tmp_path: Path, place: tuple[Any, ...], name: str, near: str
) -> None:
    holder: Any = FULL
    for step in place:
        holder = holder[step]
    refused = refusal(tmp_path, changed(FULL, place, {**holder, name: "x"}))
    assert f"there is no field `{name}` here: did you mean `{near}`?" in refused.reason


BASE = """\
name: things
source:
  name: shop
  kind: api
  base_url: https://shop.example
  path: /things
  pagination: {kind: page, page_param: p, size_param: n}
table: things
key: [id]
columns:
  - {name: id, type: int64}
  - {name: label, from: a.b, type: string}
checks:
  - {kind: row_count, min: 1}
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("from: a.b", "from: no", 12, 'YAML reads no as false: put it in quotes, "no"'),
        ("from: a.b", "from: 404", 12, 'YAML reads 404 as the number 404: put it in quotes, "404"'),
        ("from: a.b", "from: 12:30", 12, "YAML reads 12:30 as the number 750"),
        ("from: a.b", "from: 2026-01-31", 12, "YAML reads 2026-01-31 as a day or time"),
        ("from: a.b", "from: null", 12, 'YAML reads null as nothing: put it in quotes, "null"'),
        ("from: a.b", "from: ", 12, "nothing is written here"),
        ("from: a.b", "from: ''", 12, "no key is named"),
        ("from: a.b", "from: [a, b]", 12, "a text is expected, not a list"),
        ("name: label", "name: yes", 12, 'YAML reads yes as true: put it in quotes, "yes"'),
        ("name: label", "name: 1", 12, "YAML reads 1 as the number 1"),
        ("name: label", "name: fullName", 12, "write full_name and name its path with `from:`"),
        ("name: things\n", "name: My Things\n", 1, "write my_things"),
        ("type: string", "type: text", 12, "did you mean string?"),
        ("type: string", "type: integer", 12, "did you mean int64?"),
        ("type: string", "type: strnig", 12, "did you mean string?"),
        (
            "type: string",
            "type: ",
            12,
            "one of string, int8, int16, int32, int64, float32, float64, decimal(p,s), boolean, timestamp, date, ",
        ),
        ("type: string", "type:", 12, "a colon needs a blank after it"),
        ("key: [id]", "key: id", 9, "a list is expected: write [id]"),
        ("key: [id]", "key: []", 9, "it is empty: write `key: [id]`"),
        ("key: [id]", "key: [id, id]", 9, "named twice: id"),
        ("key: [id]\n", "", 1, "`key` is missing: write `key: [id]`"),
        ("{kind: row_count, min: 1}", "{min: 1}", 14, "`kind` is missing"),
        (
            "{kind: row_count, min: 1}",
            "{kind: row_count, min: 5, max: 4}",
            14,
            "no number of rows is between",
        ),
        ("{kind: row_count, min: 1}", "{kind: row_count, min: yes}", 14, "a number is expected, not yes"),
        ("{kind: row_count, min: 1}", "{kind: rowcount, min: 1}", 14, "did you mean row_count?"),
        ("  - {kind: row_count, min: 1}", "  kind: row_count", 13, "a list is expected"),
        ("size_param: n", "size_param: p", 7, "is the name of page_param as well"),
        ("size_param: n", "size_param: n, size: yes", 7, "a number is expected, not yes"),
        ("size_param: n", "size_param: n, size: many", 7, "a whole number is expected, not many"),
        ("size_param: n", "size_param: n, size: 1.5", 7, "a whole number is expected, not 1.5"),
        ("size_param: n", "size_param: n, first: 2", 7, "2 is none of 0, 1"),
        ("size_param: n", "size_param: n, first: no", 7, "a number is expected, not no"),
        ("size_param: n", "size_param: n, end_statuses: 404", 7, "a list is expected: write [404]"),
        ("{kind: page, page_param: p, size_param: n}", "none", 7, "a mapping is expected, not none"),
        ("{kind: page, page_param: p, size_param: n}", "{kind: pages}", 7, "did you mean page?"),
        ("  path: /things\n", "", 2, "path is missing: pagination of kind page needs it"),
        ("https://shop.example", "shop.example", 5, "must start with http:// or https://"),
        ("https://shop.example", "https://", 5, "is not an address"),
        ("https://shop.example", "https://shop:99999", 5, "is not an address"),
        ("https://shop.example", "'https://shop example'", 5, "is not an address"),
        ("https://shop.example", "'http://[::1'", 5, "is not an address"),
        ("name: things\n", "name: exports\n", 1, "a folder of the pipeline itself"),
        ("type: string", "type: date, fill: 2026-01-31", 12, "put it in quotes"),
        ("type: string", "type: date, fill: '2026-02-31'", 12, "a day in quotes"),
        ("type: string", "type: timestamp, fill: 'noon'", 12, "a time in quotes"),
        ("type: string", "type: int64, fill: 9223372036854775808", 12, "at most 64 bits"),
        ("type: string", "type: float64, fill: .nan", 12, "a number is expected"),
        ("type: string", "type: boolean, fill: 1", 12, "true or false"),
        ("type: string", "type: string, fill: [a]", 12, "one value is expected, not a list"),
        ("type: string", 'type: string, fill: "\\0"', 12, "a text is expected"),
    ],
)
def test_a_wrong_file_is_told_what_to_write(
    tmp_path: Path, old: str, new: str, line: int, words: str
) -> None:
    assert BASE.count(old) == 1
    refused = refusal(tmp_path, BASE.replace(old, new))
    assert words in refused.reason
    assert refused.line == line


@pytest.mark.parametrize("name", ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"])
def test_a_column_that_postgresql_has_itself_is_refused(tmp_path: Path, name: str) -> None:
    refused = refusal(tmp_path, BASE.replace("{name: label, from: a.b", f"{{name: {name}"))
    assert refused.line == 12
    assert f"{name} is a column that PostgreSQL has in every table" in refused.reason
    assert f"from: {name}" in refused.reason


BOUNDING_BOX = """\
name: x1
source:
  name: src_x1
  kind: api
  base_url: http://127.0.0.1:26777
  path: /bom
  pagination: {kind: none}
table: c_x1
key: [id]
columns:
  - {name: id, type: int64}
  - {name: xmin, type: float64}
"""


def test_a_bounding_box_is_told_which_name_is_taken(tmp_path: Path) -> None:
    refused = refusal(tmp_path, BOUNDING_BOX)
    assert str(refused).startswith(f"{tmp_path}/things.yaml:12: columns 2.name: xmin is a column")
    renamed = BOUNDING_BOX.replace("{name: xmin,", "{name: x_min, from: xmin,")
    assert isinstance(read(tmp_path, renamed), DatasetFile)


@pytest.mark.parametrize(("count", "fits"), [(900, True), (990, True), (1000, False), (1500, False)])
def test_more_columns_than_fit_a_row_are_refused_with_the_numbers(
    tmp_path: Path, count: int, fits: bool
) -> None:
    columns = [{"name": f"c{n}", "type": "float64"} for n in range(count)]
    document = {**FULL, "columns": columns, "key": ["c0"], "checks": []}
    found = read(tmp_path, document)
    if fits:
        assert isinstance(found, DatasetFile)
    else:
        assert isinstance(found, RefusedFile)
        assert f"a row with all {count:,} columns filled takes at least" in found.reason.replace(
            f"{count} ", f"{count:,} "
        )
        assert "holds 8,160" in found.reason


def test_texts_and_booleans_are_small(tmp_path: Path) -> None:
    columns = [{"name": f"c{n}", "type": "boolean" if n % 2 else "string"} for n in range(1500)]
    document = {**FULL, "columns": columns, "key": ["c0"], "checks": []}
    assert isinstance(read(tmp_path, document), DatasetFile)
    assert (
        "1,500"
        in refusal(tmp_path, {**document, "columns": [*columns, {"name": "more", "type": "string"}]}).reason
    )


def test_a_name_that_is_like_no_other_is_not_guessed(tmp_path: Path) -> None:
    reason = refusal(tmp_path, changed(FULL, ("descripton",), "x")).reason

    assert "did you mean" not in reason
    assert "there are name, source, table, key, columns" in reason


@pytest.mark.parametrize("name", ["excel", *sorted({*get_args(Format)} - {*SUPPORTED_FORMATS})])
def test_a_format_that_is_not_written_is_one_sentence(tmp_path: Path, name: str) -> None:
    reason = refusal(tmp_path, changed(FULL, ("formats",), [name])).reason

    assert reason.endswith(f"{name} is not supported: supported are {', '.join(SUPPORTED_FORMATS)}")


@pytest.mark.parametrize("null", ["null", "~", "Null"])
def test_what_yaml_reads_as_nothing_is_to_be_quoted(tmp_path: Path, null: str) -> None:
    text = _yaml(FULL).replace('"name": "things"', f'"name": {null}')

    assert f'YAML reads {null} as nothing: put it in quotes, "{null}"' in refusal(tmp_path, text).reason


def test_a_column_that_is_named_twice_is_reported_with_both_lines(tmp_path: Path) -> None:
    text = _yaml(FULL).replace('"name": "label"', '"name": "id"')
    found = refusal(tmp_path, text)
    first, second = (n for n, line in enumerate(text.splitlines(), 1) if '"name": "id"' in line)

    assert found.reason == f"id is named twice (lines {first - 1} and {second - 1})"


def test_every_mistake_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    document = changed(changed(changed(FULL, ("table",), ...), ("formats",), ["excel"]), ("nmae",), "x")
    document = changed(document, ("columns", 1, "from"), None)
    told = list(refusal(tmp_path, document).mistakes())

    assert len(told) == 4
    for words in ("`table` is missing", "excel is not supported", "did you mean `name`", "columns 2.from"):
        assert any(words in line for line in told)
    assert all(line.startswith(f"{tmp_path / 'things.yaml'}:") for line in told)


def test_of_many_mistakes_the_first_are_told(tmp_path: Path) -> None:
    columns = [{"name": f"c{n}", "type": "x"} for n in range(100)]
    told = list(refusal(tmp_path, changed(FULL, ("columns",), columns)).mistakes())

    assert len(told) == 21
    assert told[-1].endswith(": and 80 more")
