"""Requests to a source that answers with bytes written by hand."""

import gzip
import json
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import zstandard

from services.crawler.domain.fetching import Answer, FetchFailure
from services.crawler.domain.records import Records, split_page
from services.crawler.http.address_guard import AllowedHosts
from services.crawler.http.client import SourceClient
from services.crawler.http.rate_limit import SourceThrottle
from services.crawler.http.transport import HttpTransport
from tests.support.crawler import PAGES, QUICK, source_of
from tests.support.raw_source import RawSource

zipped = partial(gzip.compress, mtime=0)
"""Without the time: names of tests are made of it."""


ROWS = b'[{"id": 1, "name": "n1"}, {"id": 2, "name": "n2"}, {"id": 3, "name": "n3"}]'


ZIPPED = zipped(ROWS)


DEFLATED = zlib.compress(ROWS)


ZSTD = zstandard.ZstdCompressor().compress(ROWS)


NO_SIZE_ZSTD = zstandard.ZstdCompressor(write_content_size=False).compress(ROWS)


CHUNKED = b"Transfer-Encoding: chunked"


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": zipped,
    "deflate": zlib.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


Outcome = Answer[Records] | FetchFailure


async def fetched(
    answers: Sequence[bytes | Sequence[bytes]], folder: Path, timeout_s: float = 5
) -> tuple[Outcome, int]:
    """What a request comes to, and how often the source was asked."""
    async with RawSource(answers) as source:
        described = source_of(source.url, PAGES)
        transport = HttpTransport(
            allowed=AllowedHosts.parse(source.allow),
            user_agent="OnPoint/test (+tests)",
            timeout_s=timeout_s,
            policy=QUICK,
            read_timeout_s=timeout_s,
        )
        async with transport:
            fetch = SourceClient(transport, SourceThrottle([described]), QUICK)
            outcome = await fetch(described, f"{source.url}/things", split_page, folder)
        return outcome, len(source.asked_at_s)


async def check_is_read(
    answered: bytes | Sequence[bytes], folder: Path, rows: bytes = ROWS
) -> Answer[Records]:
    outcome, asked = await fetched([answered], folder)
    assert isinstance(outcome, Answer), outcome
    assert asked == 1
    assert [json.loads(line) for line in outcome.value.data.split(b"\n")] == json.loads(rows)
    return outcome


async def check_fails(
    answered: bytes | Sequence[bytes], folder: Path, words: str, tries: int
) -> FetchFailure:
    outcome, asked = await fetched([answered], folder)
    assert isinstance(outcome, FetchFailure)
    assert words in outcome.detail
    assert asked == tries
    return outcome
