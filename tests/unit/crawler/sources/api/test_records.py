"""Records of every shape, and columns that are taken from around them."""

from typing import Any

import pytest
from aiohttp import web

from tests.support.api_datasets import api_dataset
from tests.support.api_server import ApiServer
from tests.support.crawler import crawler_of


async def rows_of(body: Any, columns: list[dict[str, Any]] | None = None, **source: Any) -> list[Any]:
    """The lines that the crawler makes of one answer."""
    dataset: dict[str, Any] = {} if columns is None else {"columns": columns, "key": [columns[0]["name"]]}
    answer = body if callable(body) else (lambda _: body)
    async with ApiServer(answer) as api:
        datasets = {"things": api_dataset(api.url, dataset=dataset, **source)}
        async with crawler_of(api.url, allow=api.allow, datasets=datasets) as crawler:
            await crawler.run({"datasets": ["things"]})
            return [
                row
                for batch in crawler.batches
                if batch.status == "done"
                for row in await crawler.rows(batch)
            ]


@pytest.mark.parametrize(
    ("body", "records", "expected"),
    [
        ([{"id": 1}], {}, [{"id": 1}]),
        ({"a": {"b": [{"id": 1}]}}, {"path": "a.b"}, [{"id": 1}]),
        ({"x.y": [{"id": 1}]}, {"path": r"x\.y"}, [{"id": 1}]),
        ({"id": 1, "name": "one"}, {"shape": "object"}, [{"id": 1, "name": "one"}]),
        ({"d": {"a": {"id": 1}, "b": {"id": 2}}}, {"path": "d", "shape": "map"}, [{"id": 1}, {"id": 2}]),
        ([["id", "n"], [1, "a"], [2]], {"shape": "rows"}, [{"id": 1, "n": "a"}, {"id": 2}]),
        (
            {"head": [{"name": "id"}], "rows": [[1], [2]]},
            {"path": "rows", "shape": "rows", "header": "head"},
            [{"id": 1}, {"id": 2}],
        ),
        ({"id": [1, 2], "n": ["a", "b"]}, {"shape": "columns"}, [{"id": 1, "n": "a"}, {"id": 2, "n": "b"}]),
        ([5, 7], {"shape": "scalars"}, [{"$value": 5}, {"$value": 7}]),
        ({"a": [{"id": 1}], "b": [{"id": 2}]}, {"path": ["a", "b"]}, [{"id": 1}, {"id": 2}]),
        ({"g": [{"r": [{"id": 1}]}, {"r": [{"id": 2}]}]}, {"path": "g.*.r"}, [{"id": 1}, {"id": 2}]),
        ({"g": [{"t": "x", "r": []}, {"t": "y", "r": [{"id": 2}]}]}, {"path": "g[t=y].r"}, [{"id": 2}]),
        ([{"r": []}, {"r": [{"id": 2}]}], {"path": "[-1].r"}, [{"id": 2}]),
        (
            [{"id": 1, "items": [{"sku": "a"}, {"sku": "b"}]}, {"id": 2, "items": []}],
            {"explode": "items"},
            [{"id": 1, "items": {"sku": "a"}}, {"id": 1, "items": {"sku": "b"}}],
        ),
        (
            [{"id": 1, "kind": "a"}, {"id": 2, "kind": "b"}],
            {"where": [{"path": "kind", "not": "a"}]},
            [{"id": 2, "kind": "b"}],
        ),
        (
            [{"id": 1, "n": 5}, {"id": 2, "n": 15}, {"id": 3}],
            {"where": [{"any": [{"path": "n", "at_least": 10}, {"path": "n", "exists": False}]}]},
            [{"id": 2, "n": 15}, {"id": 3}],
        ),
    ],
)
async def test_records_are_found_in_every_shape(body: Any, records: Any, expected: Any) -> None:
    assert await rows_of(body, records=records) == expected


async def test_a_number_keeps_its_digits() -> None:
    body = web.json_response(text='{"d": {"a": {"id": 12345678901234567890123, "price": 1.10}}}')

    def answer(_: Any) -> Any:
        return body

    async with ApiServer(answer) as api:
        records = {"path": "d", "shape": "map"}
        datasets = {"things": api_dataset(api.url, records=records)}
        async with crawler_of(api.url, allow=api.allow, datasets=datasets) as crawler:
            await crawler.run({"datasets": ["things"]})
            [batch] = crawler.batches
            assert await crawler.lines(batch.artifacts[0]) == [
                b'{"id": 12345678901234567890123, "price": 1.10}'
            ]


async def test_a_path_that_leads_past_the_records_is_a_failure_and_no_empty_source() -> None:
    async with ApiServer(lambda _: {"items": [{"id": 1}]}) as api:
        datasets = {"things": api_dataset(api.url, records={"path": "data"})}
        async with crawler_of(api.url, allow=api.allow, datasets=datasets) as crawler:
            await crawler.run({"datasets": ["things"]})
            [batch] = crawler.batches
            assert batch.status == "dead"
            assert "items holds records" in (batch.detail or "")


async def test_columns_are_taken_from_around_the_record() -> None:
    columns: list[dict[str, Any]] = [
        {"name": "id", "type": "string", "from": "$hash"},
        {"name": "repo", "type": "string", "from": "$each.repo"},
        {"name": "region", "type": "string", "from": "$param.region"},
        {"name": "version", "type": "int64", "from": "$page.meta.version"},
        {"name": "of", "type": "string", "from": "$key"},
        {"name": "whole", "type": "json", "from": "$record"},
        {"name": "kind", "type": "string", "const": "issue"},
        {"name": "phone", "type": "string", "from": ["mobile", "phones[0]"]},
        {"name": "tags", "type": "string", "join": ", "},
        {"name": "at", "type": "timestamp", "format": "unix"},
    ]
    body = {
        "meta": {"version": 7},
        "d": {"a": {"phones": ["1", "2"], "tags": ["x", "y"], "at": 1700000000}},
    }
    [row] = await rows_of(
        body,
        columns,
        records={"path": "d", "shape": "map"},
        params={"region": {"default": "eu"}},
        for_each=[{"name": "repo", "values": ["apache/kafka"]}],
        request={"path": "/{each.repo}", "keep": "/"},
    )
    assert len(row.pop("$hash")) == 64
    record = {"phones": ["1", "2"], "tags": ["x", "y"], "at": 1700000000}
    assert row == {
        **record,
        "$each": {"repo": "apache/kafka"},
        "$param": {"region": "eu"},
        "$key": "a",
        "$record": record,
        "$page": {"meta": {"version": 7}},
        "$column": {"kind": "issue", "phone": "1", "tags": "x, y", "at": "2023-11-14T22:13:20Z"},
    }


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("jsonl", '{"id": 1}\n\n{"id": 2}\n', [{"id": 1}, {"id": 2}]),
        (
            "csv",
            '\ufeffid,n\n1,"a,\n""b"""\n2,\n3\n',
            [{"id": "1", "n": 'a,\n"b"'}, {"id": "2", "n": None}, {"id": "3"}],
        ),
        ("tsv", "id\tn\n1\ta\n", [{"id": "1", "n": "a"}]),
        (
            {"kind": "csv", "delimiter": ";", "quote": "'", "header": ["id", "n"], "skip": 1},
            "made today\n1;'a;b'\n",
            [{"id": "1", "n": "a;b"}],
        ),
        ("lines", "one\ntwo\n", [{"$value": "one"}, {"$value": "two"}]),
    ],
)
async def test_other_formats_become_records(form: Any, text: str, expected: Any) -> None:
    assert await rows_of(lambda _: web.Response(text=text), format=form) == expected


async def test_units_are_crossed_in_order_and_their_values_are_encoded() -> None:
    seen: list[str] = []

    def answer(asked: Any) -> Any:
        seen.append(f"{asked.path}?{asked.raw_query}")
        return []

    await rows_of(
        answer,
        for_each=[
            {"name": "shop", "values": ["a b", "c/d"]},
            {"name": "n", "first": 1, "last": 3, "step": 2},
        ],
        request={"path": "/s/{each.shop}", "query": {"n": "{each.n}", "tag": ["x", "{each.shop}"]}},
        limits={"requests_per_second": 0, "concurrency": 1},
    )
    assert sorted(seen) == [
        "/s/a b?n=1&tag=x&tag=a%20b",
        "/s/a b?n=3&tag=x&tag=a%20b",
        "/s/c/d?n=1&tag=x&tag=c/d",
        "/s/c/d?n=3&tag=x&tag=c/d",
    ]


async def test_a_range_ends_where_the_source_says_when_the_run_is_planned() -> None:
    def answer(asked: Any) -> Any:
        return {"max": 3} if asked.path == "/max" else [{"id": int(asked.query["id"])}]

    each = {"name": "id", "first": 1, "last_from": {"path": "/max"}, "last_path": "max"}
    request = {"path": "/item", "query": {"id": "{each.id}"}}
    assert await rows_of(answer, for_each=[each], request=request) == [{"id": 1}, {"id": 2}, {"id": 3}]


async def test_a_range_whose_end_the_source_does_not_tell_is_no_plan() -> None:
    each = {"name": "id", "first": 1, "last_from": {"path": "/max"}, "last_path": "max"}
    async with ApiServer(lambda _: {"max": "many"}) as api:
        datasets = {"things": api_dataset(api.url, for_each=[each], request={"path": "/{each.id}"})}
        async with crawler_of(api.url, allow=api.allow, datasets=datasets) as crawler:
            await crawler.run({"datasets": ["things"]})
            [batch] = crawler.batches
    assert "a whole number is expected at max" in (batch.detail or "")
