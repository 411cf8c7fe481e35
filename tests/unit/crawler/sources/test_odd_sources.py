"""Whole crawls of sources that are odd in one way, as users met them."""

import gzip
import json
from typing import Any

import pytest

from services.processor.domain.lines import Chunk
from services.processor.domain.parse import Watch, parse_chunk
from services.processor.domain.parse_schema import parse_schema_of
from shared.reasons import Reason
from tests.support.crawler import Crawler, crawler_of, dataset_of
from tests.support.raw_source import Answer, RawSource, answer

BY_PAGE = {"kind": "page", "page_param": "page", "size_param": "size", "size": 3}
AT_ONCE = {"kind": "none"}
ROWS = [{"id": n, "name": f"n{n}"} for n in range(1, 10)]


def page(rows: list[Any], **around: Any) -> bytes:
    body = json.dumps({"resources": rows, **around} if around else rows).encode()
    return answer(body, b"Content-Type: application/json", b"Connection: close")


async def crawled(
    answers: dict[str, list[Answer]], pagination: dict[str, Any], **described: Any
) -> tuple[list[bytes], Crawler, list[str]]:
    """The raw lines, the crawler, and what the source was asked for."""
    async with RawSource(answers) as source:
        datasets = {"things": dataset_of(source.url, pagination, **described)}
        async with crawler_of(source.url, allow=source.allow, datasets=datasets) as crawler:
            await crawler.run({"datasets": ["things"]})
            lines = [
                line
                for batch in crawler.batches
                if batch.status == "done"
                for line in await crawler.lines(batch.artifacts[0])
            ]
            return lines, crawler, source.targets


EMPTY_PAGES = {
    "the key of the records is left out": answer(b'{"pagination": {"resultsPerPage": 0}}'),
    "204": b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    "an empty body": answer(),
    "null": answer(b"null"),
    "an empty object": answer(b"{}"),
    "null for the records": answer(b'{"resources": null}'),
    "an empty object for the records": answer(b'{"resources": {}, "error": null}'),
    "an empty array for everything": answer(b"[]"),
}


@pytest.mark.parametrize("last", EMPTY_PAGES.values(), ids=EMPTY_PAGES.keys())
async def test_a_list_ends_with_a_page_that_is_empty_in_any_form(last: bytes) -> None:
    pages: dict[str, list[Answer]] = {
        "/things?page=1&size=3": [page(ROWS[:3], pagination={"resultsPerPage": 3})],
        "/things?page=2&size=3": [page(ROWS[3:6], pagination={"resultsPerPage": 3})],
        "/things?page=3&size=3": [last],
    }
    lines, crawler, asked = await crawled(pages, BY_PAGE, records_path=["resources"])
    assert [json.loads(line) for line in lines] == ROWS[:6]
    assert not any(batch.missing for batch in crawler.batches)
    assert asked.count("/things?page=3&size=3") == 1


@pytest.mark.parametrize("only", EMPTY_PAGES.values(), ids=EMPTY_PAGES.keys())
@pytest.mark.parametrize("pagination", [BY_PAGE, AT_ONCE])
async def test_a_source_that_is_empty_in_any_form_is_a_success(
    only: bytes, pagination: dict[str, Any]
) -> None:
    answers: dict[str, list[Answer]] = {"/things?page=1&size=3": [only], "/things": [only]}
    lines, crawler, _ = await crawled(answers, pagination, records_path=["resources"])
    assert lines == []
    assert [(batch.status, batch.missing) for batch in crawler.batches] == [("done", ())]


READ_AS_THEY_ARE = {
    "Content-Encoding: UTF-8": answer(json.dumps(ROWS).encode(), b"Content-Encoding: UTF-8"),
    "zeros behind the end of gzip": answer(
        gzip.compress(json.dumps(ROWS).encode()) + b"\0" * 64, b"Content-Encoding: gzip"
    ),
}


@pytest.mark.parametrize("answered", READ_AS_THEY_ARE.values(), ids=READ_AS_THEY_ARE.keys())
async def test_what_others_read_is_read(answered: bytes) -> None:
    lines, _, asked = await crawled({"/things": [answered]}, AT_ONCE)
    assert [json.loads(line) for line in lines] == ROWS
    assert len(asked) == 1


async def test_a_secondary_limit_of_403_is_waited_for() -> None:
    busy = answer(
        b'{"message": "secondary rate limit"}', b"Retry-After: 0.2", status=b"HTTP/1.1 403 Forbidden"
    )
    pages: dict[str, list[Answer]] = {
        "/things?page=1&size=3": [page(ROWS[:3]), busy, page(ROWS[:3])],
        "/things?page=2&size=3": [busy, page(ROWS[3:6])],
        "/things?page=3&size=3": [page(ROWS[6:])],
        "/things?page=4&size=3": [page([])],
    }
    lines, crawler, _ = await crawled(pages, BY_PAGE)
    assert [json.loads(line) for line in lines] == ROWS
    assert not any(batch.missing for batch in crawler.batches)


DEEP = 100_000
ODD = {
    "a bad escape": rb"""{"id": 50, "name": "n\'50"}""",
    "NaN": b'{"id": 50, "name": NaN}',
    "single quotes": b"{'id': 50}",
    "a raw control character": b'{"id": 50, "name": "\x01"}',
    "invalid UTF-8": b'{"id": 50, "name": "\xff"}',
    "a million digits": b'{"id": ' + b"7" * 1_000_000 + b"}",
    "a deep key": b'{"id": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "several megabytes": b'{"id": NaN, "name": "' + b"x" * 3_000_000 + b'"}',
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
async def test_one_odd_record_in_a_hundred_costs_itself(odd: bytes) -> None:
    rows = [b'{"id": %d, "name": "n%d"}' % (n, n) for n in range(1, 101)]
    rows[49] = odd
    lines, crawler, asked = await crawled({"/things": [answer(b"[" + b",\n".join(rows) + b"]")]}, AT_ONCE)
    assert lines == rows
    assert not crawler.batches[0].missing
    assert len(asked) == 1
    accepted, refused = processed(lines)
    assert (accepted, list(refused)) == (99, [49])


@pytest.mark.parametrize("depth", [65, 300, 500, 700, 900, 1100, DEEP])
async def test_a_deep_value_that_no_column_names_costs_nothing(depth: int) -> None:
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        deep = b'{"id":2,"x":' + opening * depth + b"1" + closing * depth + b"}"
        rows = [b'{"id":1}', deep, b'{"id":3}']
        lines, _, _ = await crawled({"/things": [answer(b"[" + b",".join(rows) + b"]")]}, AT_ONCE)
        assert lines == rows
        assert processed(lines) == (3, {})


def processed(lines: list[bytes]) -> tuple[int, dict[int, Reason]]:
    """How many lines the processor accepts, and the reason for each line that it refuses."""
    layout = parse_schema_of(dataset_of("http://127.0.0.1", AT_ONCE))
    chunk = Chunk(0, len(lines), b"".join(line + b"\n" for line in lines))
    parsed = list(parse_chunk(chunk, 0, layout, Watch(layout, "run-1", "0" * 32)))
    return sum(part.rows.num_rows for part in parsed), {
        refusal.line: refusal.reason for part in parsed for refusal in part.refused
    }
