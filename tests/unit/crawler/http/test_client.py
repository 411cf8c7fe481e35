"""Requests to a source: paced, tried again, and bounded."""

import asyncio
import gzip
import json
import os
import random
import re
import time
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from pathlib import Path

import pytest

from services.crawler.adapters.spool import SPOOL_BYTES
from services.crawler.domain.fetching import Answer, FetchError, FetchFailure, RetryPolicy, is_retried
from services.crawler.domain.records import Records, split_page
from services.crawler.http import decompression
from services.crawler.http.address_guard import AllowedHosts
from services.crawler.http.client import SourceClient
from services.crawler.http.decompression import Decompressor
from services.crawler.http.rate_limit import SourceThrottle
from services.crawler.http.transport import HttpTransport
from shared.datasets.model import ApiSource
from tests.support import source as faults
from tests.support.crawler import PAGES, QUICK, dataset_of
from tests.support.source import Fault, SourceServer

NOW = datetime(2026, 11, 24, 6, tzinfo=UTC)
ROWS = [{"id": n} for n in range(1, 26)]

Ask = Callable[[str], "asyncio.Future[Answer[Records] | FetchFailure]"]


@asynccontextmanager
async def fetcher(
    server: SourceServer,
    folder: Path,
    policy: RetryPolicy = QUICK,
    timeout_s: float = 5,
    read_timeout_s: float = 0.2,
    **source: float,
) -> AsyncIterator[Ask]:
    """A function that asks for a path of the server."""
    described: ApiSource = dataset_of(server.url, PAGES, **source).source
    transport = HttpTransport(
        allowed=AllowedHosts.parse(server.allow),
        user_agent="OnPoint/test (+tests)",
        timeout_s=timeout_s,
        policy=policy,
        read_timeout_s=read_timeout_s,
    )
    async with transport:
        client = SourceClient(transport, SourceThrottle([described]), policy)

        def ask(path: str) -> "asyncio.Future[Answer[Records] | FetchFailure]":
            return asyncio.ensure_future(client(described, f"{server.url}{path}", split_page, folder))

        yield ask


async def fetched(
    fault: Fault, folder: Path, times: int | None = None
) -> tuple[Answer[Records] | FetchFailure, int]:
    """What one request comes to where `fault` is in its way, and how many tries reached the server."""
    async with SourceServer({"things": ROWS}) as server, fetcher(server, folder) as ask:
        server.fail("/things", fault, times)
        return await ask("/things"), len(server.seen)


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
    ("redirected to //[::1]@, which is no URL", faults.redirect("//[::1]@")),
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
    async with SourceServer({"things": ROWS}) as server, fetcher(server, tmp_path) as ask:
        for count in range(4):
            server.fail("/things", faults.body(b"request %d failed" % count), times=1)
        server.fail("/things", faults.status(503), times=1)
        failure = await ask("/things")
        assert isinstance(failure, FetchFailure)
        assert (failure.detail, len(server.seen)) == (f"{answers(503)} (tried 5 times)", 5)


async def test_what_comes_between_two_equal_answers_makes_them_two(tmp_path: Path) -> None:
    async with SourceServer({"things": ROWS}) as server, fetcher(server, tmp_path) as ask:
        for fault in (faults.html(), faults.close(), faults.html(), faults.status(500)):
            server.fail("/things", fault, times=1)
        answer = await ask("/things")
        assert isinstance(answer, Answer)
        assert len(server.seen) == 5


async def test_a_source_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    async with SourceServer() as server:
        pass
    async with fetcher(server, tmp_path) as ask:
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
    async with SourceServer() as server, fetcher(server, tmp_path) as ask:
        server.fail("/things", faults.redirect("/login?back=/things"))
        server.fail("/login", faults.body(b"<html><title>Sign in</title>", "text/html"))
        failure = await ask("/things")
        assert isinstance(failure, FetchFailure)
        assert failure.detail == (
            f"redirected to {server.url}/login: not JSON: the answer is a web page: Sign in (tried twice, same answer)"
        )


async def test_a_slow_drip_ends_at_the_total_timeout(tmp_path: Path) -> None:
    policy = RetryPolicy(tries=2, base_s=0.001)
    async with SourceServer() as server, fetcher(server, tmp_path, policy, timeout_s=0.5) as ask:
        server.fail("/things", faults.drip(b"[" + b" " * 1000, 0.05))
        failure = await ask("/things")
    assert isinstance(failure, FetchFailure)
    assert failure.detail == "no whole answer within 0.5 s (ONPOINT_CRAWL_TIMEOUT_S) (tried twice)"


@pytest.mark.parametrize(
    "data", [b"[1, 2]", b"", json.dumps(list(range(300_000))).encode()], ids=["small", "empty", "big"]
)
async def test_gzip_is_inflated(data: bytes, tmp_path: Path) -> None:
    def parse(body: bytes) -> Records:
        assert body == data
        return Records(b"", 0)

    async with SourceServer() as server:
        server.fail("/things", faults.zipped(data))
        described = dataset_of(server.url, PAGES).source
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


async def test_headers_are_ours_and_carry_no_secret(tmp_path: Path) -> None:
    async with SourceServer({"things": ROWS}) as server, fetcher(server, tmp_path) as ask:
        server.fail("/things", faults.body(b"[]", Set_Cookie="session=1; Path=/"), times=1)
        await ask("/things")
        await ask("/things")
        for request in server.seen:
            assert request.headers["User-Agent"] == "OnPoint/test (+tests)"
            assert not {"Cookie", "Authorization"} & set(request.headers)


async def test_redirects_within_the_source_are_followed(tmp_path: Path) -> None:
    async with SourceServer({"things": ROWS}) as server, fetcher(server, tmp_path) as ask:
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
    async with SourceServer({"things": rows}) as server, fetcher(server, tmp_path, read_timeout_s=5) as ask:
        answers = await asyncio.gather(*(ask("/things") for _ in range(4)))
    for answer in answers:
        assert isinstance(answer, Answer)
        assert [json.loads(line)["id"] for line in answer.value.data.split(b"\n")] == [
            row["id"] for row in rows
        ]


async def test_retry_after_is_obeyed_by_every_request_to_the_host(tmp_path: Path) -> None:
    async with SourceServer({"things": ROWS}) as server, fetcher(server, tmp_path) as ask:
        server.fail("/things", faults.status(429, Retry_After="1"), times=1)
        first = ask("/things")
        while not server.seen:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        second = ask("/things?second")
        assert isinstance(await first, Answer)
        assert isinstance(await second, Answer)
        asked = server.seen[0].at_s
        assert all(request.at_s - asked >= 0.95 for request in server.seen[1:])


@pytest.mark.parametrize("code", [202, 304, 403, 404, 500])
async def test_retry_after_counts_with_every_status_that_is_no_answer(code: int, tmp_path: Path) -> None:
    async with SourceServer({"things": ROWS}) as server, fetcher(server, tmp_path) as ask:
        server.fail("/things", faults.status(code, Retry_After="0.3"), times=1)
        answer = await ask("/things")
        assert isinstance(answer, Answer)
        assert server.seen[1].at_s - server.seen[0].at_s >= 0.28


async def test_a_redirect_is_followed_when_it_says(tmp_path: Path) -> None:
    async with SourceServer({"things": ROWS}) as server, fetcher(server, tmp_path, timeout_s=0.4) as ask:
        server.fail("/moved", faults.status(302, Retry_After="0.6", Location="/things"))
        answer = await ask("/moved")
        assert isinstance(answer, Answer), "the pause is not taken from the time for the answer"
        assert server.seen[1].at_s - server.seen[0].at_s >= 0.58


async def test_redirects_that_ask_for_patience_get_no_more_than_one_pause_would(tmp_path: Path) -> None:
    policy = RetryPolicy(tries=1, retry_after_cap_s=0.2)
    async with SourceServer() as server, fetcher(server, tmp_path, policy) as ask:
        server.fail("/things", faults.status(302, Retry_After="3600", Location="/things"))
        began_s = time.monotonic()
        failure = await ask("/things")
        assert isinstance(failure, FetchFailure)
        assert failure.detail == f"more than 5 redirects, the last to {server.url}/things"
        assert time.monotonic() - began_s < 5


async def test_an_answer_that_is_not_ready_comes_later(tmp_path: Path) -> None:
    answer, tries = await fetched(faults.status(202), tmp_path, times=3)
    assert isinstance(answer, Answer)
    assert (answer.value.rows, tries) == (25, 4)


async def test_requests_are_spaced_by_the_rate(tmp_path: Path) -> None:
    async with (
        SourceServer({"things": ROWS}) as server,
        fetcher(server, tmp_path, requests_per_second=20) as ask,
    ):
        began_s = time.monotonic()
        await asyncio.gather(*(ask("/things") for _ in range(11)))
        assert len(server.seen) == 11
        assert max(request.at_s for request in server.seen) - began_s >= 0.49


async def test_no_more_than_the_allowed_requests_are_open_at_once(tmp_path: Path) -> None:
    async with (
        SourceServer({"things": ROWS}, delay_s=0.02) as server,
        fetcher(server, tmp_path, concurrency=3) as ask,
    ):
        await asyncio.gather(*(ask("/things") for _ in range(20)))
        assert server.most_concurrent == 3


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("86400", 60.0),
        ("9" * 100, 60.0),
        (format_datetime(NOW + timedelta(seconds=9), usegmt=True), 9.0),
        (format_datetime(NOW - timedelta(days=9), usegmt=True), 0.0),
        (format_datetime(NOW + timedelta(days=9), usegmt=True), 60.0),
        ("Tuesday, 24-Nov-26 06:00:05 GMT", 5.0),
        ("Tue Nov 24 06:00:05 2026", 5.0),
        ("soon", None),
        ("-5", None),
        ("1e3", None),
        ("", None),
        ("٣", None),
        ("1 Jan 99999999999999999999 00:00:00 GMT", None),
        ("1 Jan 2027 99999999999999999999:00:00 GMT", None),
        ("1 Jan 2027 00:00:00 +99999999999999999999", None),
        (None, None),
    ],
)
def test_retry_after_is_read_and_capped(header: str | None, wait_s: float | None) -> None:
    assert RetryPolicy().retry_after_s(header, NOW) == wait_s


def test_pauses_grow_with_full_jitter_up_to_the_cap() -> None:
    random.seed(1)
    for tried, most_s in ((1, 0.2), (2, 0.4), (3, 0.8), (4, 1.6), (20, 5.0)):
        pauses = [RetryPolicy().delay_s(tried) for _ in range(500)]
        assert 0 <= min(pauses) < most_s * 0.05
        assert most_s * 0.95 < max(pauses) <= most_s


def test_only_what_may_pass_is_retried() -> None:
    assert {status for status in range(400, 600) if is_retried(status)} == {408, 425, 429, *range(500, 600)}


def decompressed(chunks: list[bytes]) -> int:
    decompressor = Decompressor(["gzip"])
    size = sum(len(piece) for chunk in chunks for piece in decompressor.feed(chunk))
    decompressor.finish()
    return size


def test_a_stream_may_come_in_any_pieces_and_members() -> None:
    data = random.Random(1).randbytes(5000)  # noqa: S311 - no secret
    stream = gzip.compress(data) + gzip.compress(data)
    assert decompressed([stream[at : at + 1] for at in range(len(stream))]) == 10_000
    assert decompressed([stream]) == 10_000
    assert decompressed([]) == 0


@pytest.mark.parametrize("megabytes", [10, 100, 1000, 10_000])
def test_a_bomb_is_stopped_long_before_it_goes_off(megabytes: int) -> None:
    squeezer = zlib.compressobj(9, zlib.DEFLATED, 31)
    chunk = b"".join(squeezer.compress(b"\0" * 2**20) for _ in range(min(megabytes, 300)))
    decompressor, size = Decompressor(["gzip"]), 0
    with pytest.raises(FetchError, match="100 times") as caught:  # noqa: PT012 - the loop is what raises
        for piece in decompressor.feed(chunk):
            size += len(piece)
            assert len(piece) <= 2**18
    assert size <= max(2**20, 100 * len(chunk))
    assert not caught.value.retryable


def test_an_honest_stream_ends_at_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decompression, "MAX_BODY_BYTES", 2**20)
    with pytest.raises(FetchError, match="inflates to more than 1048576"):
        decompressed([gzip.compress(random.Random(1).randbytes(2**21))])  # noqa: S311 - no secret
