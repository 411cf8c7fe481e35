"""How pages follow each other: numbers, offsets, links, cursors of every place; and how a chain ends."""

from typing import Any

import pytest
from aiohttp import web

from tests.support.api_datasets import TOKEN, api_dataset
from tests.support.api_server import ApiServer, Asked, refused
from tests.support.crawler import Crawler, crawler_of, things

RECORDS = things(7)
BY_PAGE = {"path": "/things", "query": {"page": "{page}", "size": "{size}"}}
BY_OFFSET = {"path": "/things", "query": {"skip": "{offset}", "top": "{size}"}}
BY_CURSOR = {"path": "/things", "query": {"after": "{cursor}", "order": "id"}}


async def crawl(api: ApiServer, **source: Any) -> Crawler:
    datasets = {"things": api_dataset(api.url, **source)}
    async with crawler_of(
        api.url, allow=api.allow, datasets=datasets, variables={"SHOP_TOKEN": TOKEN}
    ) as crawler:
        await crawler.run({"datasets": ["things"]})
        return crawler


async def ids_of(crawler: Crawler) -> list[int]:
    return [row["id"] for batch in crawler.batches for row in await crawler.rows(batch)]


def missing(crawler: Crawler) -> list[str]:
    return [page.reason for batch in crawler.batches for page in batch.missing]


def page_of(asked: Asked, size: int = 3, first: int = 1) -> list[Any]:
    start = (int(asked.query["page"]) - first) * size
    return RECORDS[start : start + size]


async def test_numbered_pages_end_with_an_empty_one() -> None:
    async with ApiServer(page_of) as api:
        crawler = await crawl(api, request=BY_PAGE, pagination={"kind": "page", "size": 3})
    assert await ids_of(crawler) == list(range(7))
    assert api.targets() == [f"/things?page={page}&size=3" for page in range(1, 5)]


async def test_pages_may_begin_at_0_and_end_where_the_total_says() -> None:
    def answer(asked: Asked) -> Any:
        return web.json_response(page_of(asked, first=0), headers={"X-Total": "7"})

    async with ApiServer(answer) as api:
        crawler = await crawl(
            api,
            request=BY_PAGE,
            pagination={"kind": "page", "first": 0, "size": 3, "total": {"header": "X-Total"}},
        )
    assert await ids_of(crawler) == list(range(7))
    assert [asked.query["page"] for asked in api.seen] == ["0", "1", "2"]
    assert crawler.planned[-1].rows == 7


async def test_a_total_of_pages_ends_the_chain() -> None:
    async with ApiServer(lambda asked: {"data": page_of(asked), "meta": {"pages": 3}}) as api:
        crawler = await crawl(
            api,
            request=BY_PAGE,
            records={"path": "data"},
            pagination={"kind": "page", "size": 3, "total": {"path": "meta.pages", "of": "pages"}},
        )
    assert await ids_of(crawler) == list(range(7))
    assert len(api.seen) == 3


async def test_an_offset_grows_by_the_records_that_came() -> None:
    """The source gives smaller pages than are asked for."""

    def answer(asked: Asked) -> Any:
        start = int(asked.query["skip"])
        return RECORDS[start : start + 2]

    async with ApiServer(answer) as api:
        crawler = await crawl(api, request=BY_OFFSET, pagination={"kind": "offset", "size": 100})
    assert await ids_of(crawler) == list(range(7))
    assert [asked.query["skip"] for asked in api.seen] == ["0", "2", "4", "6", "7"]


@pytest.mark.parametrize("status", [404, 416])
async def test_a_refusal_behind_a_short_page_is_the_end(status: int) -> None:
    def answer(asked: Asked) -> Any:
        return page_of(asked) or refused(status, "no such page")

    async with ApiServer(answer) as api:
        crawler = await crawl(api, request=BY_PAGE, pagination={"kind": "page", "size": 3})
    assert await ids_of(crawler) == list(range(7))
    assert missing(crawler) == []


async def test_a_refusal_behind_a_full_page_is_missing() -> None:
    def answer(asked: Asked) -> Any:
        return page_of(asked) if asked.query["page"] == "1" else refused(404, "no such page")

    async with ApiServer(answer) as api:
        crawler = await crawl(api, request=BY_PAGE, pagination={"kind": "page", "size": 3})
    assert await ids_of(crawler) == [0, 1, 2]
    assert len(missing(crawler)) == 1


async def test_a_source_that_ignores_the_page_is_found_out() -> None:
    async with ApiServer(lambda _: RECORDS[:3]) as api:
        crawler = await crawl(api, request=BY_PAGE, pagination={"kind": "page", "size": 3})
    assert await ids_of(crawler) == [0, 1, 2]
    assert "the page is the same as one before" in missing(crawler)[0]


async def test_a_repeated_page_is_the_end_where_the_file_says_so() -> None:
    async with ApiServer(lambda asked: page_of(asked) or RECORDS[6:]) as api:
        crawler = await crawl(api, request=BY_PAGE, pagination={"kind": "page", "size": 3, "repeats": "end"})
    assert await ids_of(crawler) == list(range(7))
    assert missing(crawler) == []


def cursors(place: str) -> Any:
    def answer(asked: Asked) -> Any:
        after = int(asked.query.get("after", -1))
        rows = RECORDS[after + 1 : after + 4]
        more = after + 4 < len(RECORDS)
        following = str(rows[-1]["id"]) if rows and more else None
        headers = {}
        if following and place == "header":
            headers["X-Next"] = following
        if following and place == "link":
            headers["Link"] = f'<{api_url(asked)}/things?after={following}>; rel="next"'
        body = {"data": rows, "more": more, "next": following if place == "path" else None}
        return web.json_response(body, headers=headers)

    return answer


def api_url(asked: Asked) -> str:
    return f"http://{asked.headers['Host']}"


@pytest.mark.parametrize(
    ("place", "following", "more"),
    [
        ("path", {"path": "next"}, None),
        ("header", {"header": "X-Next"}, None),
        ("link", {"link": "after"}, None),
        ("last", {"last": "id"}, {"path": "more", "equals": True}),
        ("max", {"max": "id"}, {"path": "more", "not": False}),
        ("match", {"path": "next", "match": "([0-9]+)"}, None),
    ],
)
async def test_the_cursor_is_taken_from_where_the_file_says(place: str, following: Any, more: Any) -> None:
    async with ApiServer(cursors("path" if place == "match" else place)) as api:
        pagination = {"kind": "cursor", "next": following, **({"more": more} if more else {})}
        crawler = await crawl(api, request=BY_CURSOR, records={"path": "data"}, pagination=pagination)
    assert await ids_of(crawler) == list(range(7))
    assert [asked.query.get("after") for asked in api.seen] == [None, "2", "5"]


async def test_later_pages_send_the_cursor_alone_where_the_file_says_so() -> None:
    async with ApiServer(cursors("path")) as api:
        pagination = {"kind": "cursor", "next": {"path": "next"}, "resend": "none"}
        crawler = await crawl(api, request=BY_CURSOR, records={"path": "data"}, pagination=pagination)
    assert await ids_of(crawler) == list(range(7))
    assert api.targets() == ["/things?order=id", "/things?after=2", "/things?after=5"]


async def test_the_next_url_of_the_link_header_is_followed() -> None:
    async with ApiServer(cursors("link")) as api:
        crawler = await crawl(
            api, request={"path": "/things"}, records={"path": "data"}, pagination={"kind": "link"}
        )
    assert await ids_of(crawler) == list(range(7))


KEY_BY_AUTH = {
    "auth": {
        "kind": "api_key",
        "key": {"env": "SHOP_TOKEN"},
        "send": {"in": "query", "name": "key", "value": "{token}"},
    }
}
KEY_BY_QUERY = {
    "secrets": {"key": {"env": "SHOP_TOKEN"}},
    "request": {"path": "/things", "query": {"key": "{secret.key}"}},
}


@pytest.mark.parametrize("key", [KEY_BY_AUTH, KEY_BY_QUERY], ids=["auth", "query"])
async def test_a_relative_next_url_in_the_body_is_followed_and_its_key_is_stored_nowhere(
    key: dict[str, Any],
) -> None:
    def answer(asked: Asked) -> Any:
        if asked.query.get("key") != TOKEN:
            return refused(401, "no key")
        after = int(asked.query.get("after", -1))
        rows = RECORDS[after + 1 : after + 4]
        return {
            "data": rows,
            "links": {"next": f"things?after={after + 3}&key={TOKEN}" if after < 3 else None},
        }

    async with ApiServer(answer) as api:
        crawler = await crawl(
            api,
            **key,
            records={"path": "data"},
            pagination={"kind": "link", "next": {"path": "links.next"}},
        )
        stored = [await crawler.staging.get(info.key) async for info in crawler.staging.list("")]
    assert await ids_of(crawler) == list(range(7))
    assert all(TOKEN.encode() not in (value or b"") for value in stored)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/next",
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "http://ann:pw@{host}/next",
        7,
    ],
)
async def test_a_next_url_to_another_place_is_not_followed(url: Any) -> None:
    def answer(asked: Asked) -> Any:
        named = url.replace("{host}", asked.headers["Host"]) if isinstance(url, str) else url
        return {"data": RECORDS[:3], "next": named}

    async with ApiServer(answer) as api:
        crawler = await crawl(
            api, records={"path": "data"}, pagination={"kind": "link", "next": {"path": "next"}}
        )
    assert len(api.seen) == 1
    assert await ids_of(crawler) == [0, 1, 2]
    assert len(missing(crawler)) == 1


async def test_a_next_url_at_a_named_host_is_followed_without_credentials() -> None:
    async with ApiServer(lambda _: {"data": RECORDS[3:]}) as other:
        following = f"http://localhost:{other.port}/rest"
        async with ApiServer(lambda _: {"data": RECORDS[:3], "next": following}) as api:
            datasets = {
                "things": api_dataset(
                    api.url,
                    auth={"kind": "bearer", "token": {"env": "SHOP_TOKEN"}},
                    hosts=["localhost"],
                    records={"path": "data"},
                    pagination={"kind": "link", "next": {"path": "next"}},
                )
            }
            allow = f"{api.allow},localhost:{other.port}"
            async with crawler_of(
                api.url, allow=allow, datasets=datasets, variables={"SHOP_TOKEN": TOKEN}
            ) as crawler:
                await crawler.run({"datasets": ["things"]})
                assert await ids_of(crawler) == list(range(7))
        assert "Authorization" in api.seen[0].headers
        assert "Authorization" not in other.seen[0].headers


async def test_a_graphql_query_is_literal_and_its_variables_have_the_cursor() -> None:
    def answer(asked: Asked) -> Any:
        after = asked.json["variables"].get("after")
        start = 0 if after is None else int(after)
        has_next = start + 4 < len(RECORDS)
        info = {"hasNextPage": has_next, "endCursor": str(start + 4)}
        return {"data": {"things": {"nodes": RECORDS[start : start + 4], "pageInfo": info}}}

    query = "query ($after: String) { things(after: $after) { nodes { id } } }"
    async with ApiServer(answer) as api:
        crawler = await crawl(
            api,
            request={
                "method": "POST",
                "path": "/graphql",
                "body": {"graphql": {"query": query, "variables": {"after": "{cursor}", "first": 4}}},
            },
            records={"path": "data.things.nodes"},
            pagination={
                "kind": "cursor",
                "next": {"path": "data.things.pageInfo.endCursor"},
                "more": {"path": "data.things.pageInfo.hasNextPage", "equals": True},
            },
        )
    assert await ids_of(crawler) == list(range(7))
    assert [asked.json["variables"] for asked in api.seen] == [{"first": 4}, {"after": "4", "first": 4}]
    assert api.seen[0].json["query"] == query


async def test_a_unit_that_brings_less_than_it_promises_is_said() -> None:
    async with ApiServer(
        lambda asked: {"data": RECORDS[:2] if asked.query["page"] == "1" else [], "total": 5}
    ) as api:
        crawler = await crawl(
            api,
            for_each=[{"name": "shop", "values": ["a", "b"]}],
            request={"path": "/{each.shop}", "query": {"page": "{page}"}},
            records={"path": "data"},
            pagination={"kind": "page", "total": {"path": "total"}},
        )
    assert missing(crawler) == ["the source promises 5 records here, and 2 came"] * 2


async def test_a_capped_source_is_said_to_be_cut() -> None:
    async with ApiServer(
        lambda asked: {"data": RECORDS[:4] if asked.query["page"] == "1" else [], "total": 9}
    ) as api:
        crawler = await crawl(
            api,
            request={"path": "/things", "query": {"page": "{page}"}},
            records={"path": "data"},
            pagination={"kind": "page", "total": {"path": "total"}, "cap": {"records": 4}},
        )
    assert missing(crawler) == ["the source shows 4 records of a request and no more: 4 came"]
