"""Requests to a source: paced, tried again, and bounded."""

import asyncio
import gzip
import json
import os
import re
from http import HTTPStatus
from pathlib import Path

import pytest

from services.crawler.adapters.spool import SPOOL_BYTES
from services.crawler.domain.fetching import Answer, FetchFailure, RetryPolicy
from services.crawler.domain.records import Records
from services.crawler.http import decompression
from services.crawler.http.address_guard import AllowedHosts
from services.crawler.http.client import SourceClient
from services.crawler.http.rate_limit import SourceThrottle
from services.crawler.http.transport import HttpTransport
from tests.support import source as faults
from tests.support.crawler import PAGES, QUICK, source_of
from tests.support.fetching import ROWS, client_of, fetched
from tests.support.source import Fault, SourceServer


def answers(code: int) -> str:
    return f"the source answers HTTP {code} {HTTPStatus(code).phrase}"


RETRIED: list[tuple[str, Fault, int | None]] = [
    *[
        (f"{answers(code)} (tried 5 times)", faults.status(code), code)
        for code in (408, 425, 429, 500, 502, 503, 504)
    ],
    ("the connection was closed (tried 5 times)", faults.close(), None),
    ("no answer within 0.2 s (ONPOINT_CRAWL_READ_TIMEOUT_S) (tried 5 times)", faults.hang(), None),
    ("the answer broke off (tried 5 times)", faults.truncated(), None),
    (f"{answers(202)} (tried 5 times)", faults.status(202), 202),
    *[
        (f"{answers(code)} (tried 5 times)", faults.status(code, Retry_After="0"), code)
        for code in (300, 304, 400, 403, 404, 410, 429, 503)
    ],
]


@pytest.mark.parametrize(("detail", "fault", "status"), RETRIED, ids=[detail for detail, _, _ in RETRIED])
async def test_what_may_pass_is_tried_five_times(
    detail: str, fault: Fault, status: int | None, tmp_path: Path
) -> None:
    failure, tries = await fetched(fault, tmp_path)
    assert isinstance(failure, FetchFailure)
    assert (failure.detail, failure.status, tries) == (detail, status, 5)


@pytest.mark.parametrize(
    "fault", [fault for _, fault, _ in RETRIED], ids=[detail for detail, _, _ in RETRIED]
)
async def test_what_passes_leaves_no_trace(fault: Fault, tmp_path: Path) -> None:
    answer, tries = await fetched(fault, tmp_path, times=4)
    assert isinstance(answer, Answer)
    assert (answer.value.rows, tries) == (25, 5)
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - pathlib's way is refused in a coroutine


FINAL: list[tuple[str, Fault]] = [
    *[(answers(code), faults.status(code)) for code in (400, 401, 403, 404, 410, 418, 451)],
    (answers(304), faults.status(304)),
    (f"{answers(302)}, a redirect without a location", faults.status(302)),
    ("redirected to //[::1]@, which is not a URL", faults.redirect("//[::1]@")),
    ("more than 5 redirects, the last to URL/things", faults.redirect("/things")),
    *[(answers(code), faults.status(code, Retry_After="soon")) for code in (403, 404)],
    ("the answer is compressed by br, which was not asked for", faults.body(b"x", Content_Encoding="br")),
    ("the answer inflates to more than 100 times its size", faults.bomb(20)),
]


@pytest.mark.parametrize(("detail", "fault"), FINAL, ids=[detail for detail, _ in FINAL])
async def test_what_will_not_change_is_tried_once(detail: str, fault: Fault, tmp_path: Path) -> None:
    failure, tries = await fetched(fault, tmp_path)
    assert isinstance(failure, FetchFailure)
    assert re.sub(r"http://127.0.0.1:\d+", "URL", failure.detail) == detail
    assert tries == (6 if "redirects" in detail else 1)


UNUSABLE: list[tuple[str, Fault]] = [
    ("not JSON: the answer is a web page: Sorry, we are down for maintenance", faults.html()),
    ("not JSON: the value at byte 1 is not closed before the end, at byte 10", faults.body(b'[{"id": 1}')),
    ("the source answers with an error: try later", faults.body(b'{"error": "try later"}')),
    ("the gzip stream is cut off", faults.body(gzip.compress(b"[1]")[:-3], Content_Encoding="gzip")),
    (
        "not gzip: Error -3 while decompressing data: incorrect header check",
        faults.body(b"[1]", Content_Encoding="gzip"),
    ),
    ("not JSON: the answer is a text that begins: x", faults.body(b"x" * SPOOL_BYTES * 2)),
]


@pytest.mark.parametrize(("detail", "fault"), UNUSABLE, ids=[detail for detail, _ in UNUSABLE])
async def test_an_unusable_answer_that_comes_again_is_not_asked_for_a_third_time(
    detail: str, fault: Fault, tmp_path: Path
) -> None:
    failure, tries = await fetched(fault, tmp_path)
    assert isinstance(failure, FetchFailure)
    assert failure.detail.startswith(detail)
    assert failure.detail.endswith(" (tried twice, same answer)")
    assert tries == 2
    answer, tries = await fetched(fault, tmp_path, times=1)
    assert isinstance(answer, Answer)
    assert (answer.value.rows, tries) == (25, 2)
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - pathlib's way is refused in a coroutine


async def test_unusable_answers_that_differ_are_asked_for_five_times(tmp_path: Path) -> None:
    async with SourceServer({"things": ROWS}) as server, client_of(server, tmp_path) as ask:
        for count in range(4):
            server.fail("/things", faults.body(b"request %d failed" % count), times=1)
        server.fail("/things", faults.status(503), times=1)
        failure = await ask("/things")
        assert isinstance(failure, FetchFailure)
        assert (failure.detail, len(server.seen)) == (f"{answers(503)} (tried 5 times)", 5)


async def test_what_comes_between_two_equal_answers_makes_them_two(tmp_path: Path) -> None:
    async with SourceServer({"things": ROWS}) as server, client_of(server, tmp_path) as ask:
        for fault in (faults.html(), faults.close(), faults.html(), faults.status(500)):
            server.fail("/things", fault, times=1)
        answer = await ask("/things")
        assert isinstance(answer, Answer)
        assert len(server.seen) == 5


async def test_a_source_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    async with SourceServer() as server:
        pass
    async with client_of(server, tmp_path) as ask:
        failure = await ask("/things")
    assert isinstance(failure, FetchFailure)
    assert failure.detail == f"no connection to 127.0.0.1:{server.port}: connection refused (tried 5 times)"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": "token needed"}', "token needed"),
        (b'{"message": "Bad credentials", "documentation_url": "https://docs"}', "Bad credentials"),
        (b'{"errors": [{"code": 17, "message": "quota exceeded"}]}', "quota exceeded"),
        (b'[{"message": "no such list"}]', "no such list"),
        (b"please log in\n", "please log in"),
        (b"<!doctype html><title>Sign in</title>", "Sign in"),
        (b'{"error": "line\\u001b[2J break\\n"}', "line [2J break"),
        (b'{"error": "' + b"x y " * 500 + b'"}', ("x y " * 500)[:120].rstrip() + "..."),
        (b'{"error": "unknown key=sk-live-0123456789"}', "unknown key=***"),
        (b"Bearer eyJhbGciOiJIUzI1NiJ9.e30 is expired", "Bearer *** is expired"),
        (b'{"error": "0123456789abcdef0123456789abcdef is revoked"}', "*** is revoked"),
    ],
)
@pytest.mark.parametrize("code", [401, 403, 404, 500])
async def test_a_refusal_is_told_in_the_words_of_the_source(
    code: int, body: bytes, words: str, tmp_path: Path
) -> None:
    failure, _ = await fetched(faults.refusal(code, body), tmp_path)
    assert isinstance(failure, FetchFailure)
    assert failure.detail.removesuffix(" (tried 5 times)") == f"{answers(code)}: {words}"


@pytest.mark.parametrize("body", [b"", b"x" * 5000, b"<xml/>", b'{"error": 401}', b"{", b"[" * 10_000])
async def test_a_refusal_without_words_is_told_by_its_status(body: bytes, tmp_path: Path) -> None:
    failure, _ = await fetched(faults.refusal(401, body), tmp_path)
    assert isinstance(failure, FetchFailure)
    assert failure.detail == answers(401)


async def test_a_refusal_that_never_ends_is_told_all_the_same(tmp_path: Path) -> None:
    failure, tries = await fetched(faults.endless(401), tmp_path)
    assert isinstance(failure, FetchFailure)
    assert (failure.detail, tries) == (answers(401), 1)


@pytest.mark.parametrize(
    ("location", "words"),
    [
        (
            "http://no-such-host.invalid/elsewhere?token=1",
            "the host name no-such-host.invalid cannot be resolved",
        ),
        ("http://10.0.0.1/x", "10.0.0.1:80 is a private address"),
        ("ftp://files.example.org/x", "only http and https are crawled"),
    ],
)
async def test_a_redirect_that_fails_names_where_it_led(location: str, words: str, tmp_path: Path) -> None:
    failure, _ = await fetched(faults.redirect(location), tmp_path)
    assert isinstance(failure, FetchFailure)
    assert failure.detail.startswith(f"redirected to {location.partition('?')[0]}: {words}")


async def test_a_redirect_to_a_login_names_it(tmp_path: Path) -> None:
    async with SourceServer() as server, client_of(server, tmp_path) as ask:
        server.fail("/things", faults.redirect("/login?back=/things"))
        server.fail("/login", faults.body(b"<html><title>Sign in</title>", "text/html"))
        failure = await ask("/things")
        assert isinstance(failure, FetchFailure)
        assert failure.detail == (
            f"redirected to {server.url}/login: not JSON: the answer is a web page: Sign in (tried twice, same answer)"
        )


async def test_a_slow_drip_ends_at_the_total_timeout(tmp_path: Path) -> None:
    policy = RetryPolicy(tries=2, base_s=0.001)
    async with SourceServer() as server, client_of(server, tmp_path, policy, timeout_s=0.5) as ask:
        server.fail("/things", faults.drip(b"[" + b" " * 1000, 0.05))
        failure = await ask("/things")
    assert isinstance(failure, FetchFailure)
    assert failure.detail == "no whole answer within 0.5 s (ONPOINT_CRAWL_TIMEOUT_S) (tried twice)"


@pytest.mark.parametrize(
    "data", [b"[1, 2]", b"", json.dumps(list(range(300_000))).encode()], ids=["small", "empty", "big"]
)
async def test_gzip_is_decompressed(data: bytes, tmp_path: Path) -> None:
    def parse(body: bytes) -> Records:
        assert body == data
        return Records(b"", 0)

    async with SourceServer() as server:
        server.fail("/things", faults.zipped(data))
        described = source_of(server.url, PAGES)
        transport = HttpTransport(
            allowed=AllowedHosts.parse(server.allow),
            user_agent="t",
            timeout_s=5,
            policy=QUICK,
            read_timeout_s=1,
        )
        async with transport:
            answer = await SourceClient(transport, SourceThrottle([described]), QUICK)(
                described, f"{server.url}/things", parse, tmp_path
            )
    assert isinstance(answer, Answer)


async def test_headers_are_the_client_s_own_and_carry_no_secret(tmp_path: Path) -> None:
    async with SourceServer({"things": ROWS}) as server, client_of(server, tmp_path) as ask:
        server.fail("/things", faults.body(b"[]", Set_Cookie="session=1; Path=/"), times=1)
        await ask("/things")
        await ask("/things")
        for request in server.seen:
            assert request.headers["User-Agent"] == "OnPoint/test (+tests)"
            assert not {"Cookie", "Authorization"} & set(request.headers)


async def test_redirects_within_the_source_are_followed(tmp_path: Path) -> None:
    async with SourceServer({"things": ROWS}) as server, client_of(server, tmp_path) as ask:
        server.fail("/moved", faults.redirect("/things?_page=1&_limit=5", 308))
        answer = await ask("/moved")
        assert isinstance(answer, Answer)
        assert (answer.url, answer.answered_url) == (
            f"{server.url}/moved",
            f"{server.url}/things?_page=1&_limit=5",
        )


async def test_an_endless_body_ends_at_the_cap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decompression, "MAX_WIRE_BYTES", 2**20)
    failure, tries = await fetched(faults.endless(), tmp_path)
    assert isinstance(failure, FetchFailure)
    assert (failure.detail, tries) == ("the answer is larger than 1048576 bytes", 1)


async def test_a_big_page_waits_on_disk_and_is_whole(tmp_path: Path) -> None:
    rows = [{"id": n, "text": "x" * 1000} for n in range(2 * SPOOL_BYTES // 1000)]
    async with SourceServer({"things": rows}) as server, client_of(server, tmp_path, read_timeout_s=5) as ask:
        answers = await asyncio.gather(*(ask("/things") for _ in range(4)))
    for answer in answers:
        assert isinstance(answer, Answer)
        assert [json.loads(line)["id"] for line in answer.value.data.split(b"\n")] == [
            row["id"] for row in rows
        ]


async def test_an_answer_tells_its_tries_its_time_its_size_and_its_etag(tmp_path: Path) -> None:
    async with SourceServer({"things": ROWS}) as server, client_of(server, tmp_path) as ask:
        server.fail("/things", faults.body(b'[{"id": 1}]', ETag='W/"7-\u00e9"'), times=1)
        answer = await ask("/things")
        assert isinstance(answer, Answer)
        assert (answer.tries, answer.bytes, answer.etag) == (1, 11, r'W/"7-\xe9"')
        server.delay_s = 0.1
        slow = await ask("/things")
        assert isinstance(slow, Answer)
        assert slow.took_s is not None
        assert slow.took_s >= 0.1
        assert slow.etag is None


async def test_the_time_is_that_of_the_last_try(tmp_path: Path) -> None:
    answer, tries = await fetched(faults.status(503), tmp_path, times=2)
    assert isinstance(answer, Answer)
    assert (answer.tries, tries) == (3, 3)
    failure, _ = await fetched(faults.status(503), tmp_path)
    assert isinstance(failure, FetchFailure)
    assert failure.tries == 5
    assert failure.took_s is not None
