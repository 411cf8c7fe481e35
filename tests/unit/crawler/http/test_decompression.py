"""Streams are decompressed in any pieces, and within bounds."""

import gzip
import random
import zlib

import pytest

from services.crawler.domain.fetching import FetchError
from services.crawler.http import decompression
from services.crawler.http.decompression import Decompressor


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
