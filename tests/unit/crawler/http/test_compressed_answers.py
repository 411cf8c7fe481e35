"""Compressed answers: what curl and Python's requests read is read."""

import json
import random
import zlib
from pathlib import Path

import pytest
import zstandard

from services.crawler.domain.fetching import Answer
from services.crawler.domain.records import Records
from tests.support.raw_answers import (
    CHUNKED,
    COMPRESS,
    DEFLATED,
    NO_SIZE_ZSTD,
    ROWS,
    ZIPPED,
    ZSTD,
    check_fails,
    check_is_read,
    fetched,
    zipped,
)
from tests.support.raw_source import answer, chunked

NO_COMPRESSION = [
    "UTF-8", "utf8", "ISO-8859-1", "none", "binary", "8bit", "text", "", "identity", "IDENTITY", "identity, utf-8",
    "application/json", "null", "gzipped", "chunked", " , ,", "\u00fc",
]  # fmt: skip


@pytest.mark.parametrize("encoding", NO_COMPRESSION)
async def test_an_encoding_that_names_no_compression_is_none(encoding: str, tmp_path: Path) -> None:
    await check_is_read(answer(ROWS, b"Content-Encoding: " + encoding.encode()), tmp_path)
    await check_is_read(
        answer(ROWS, b"content-encoding: identity", b"Content-Encoding:" + encoding.encode()), tmp_path
    )


COMPRESSED = [
    ("gzip", ZIPPED),
    ("GZIP", ZIPPED),
    ("x-gzip", ZIPPED),
    ("utf-8, gzip", ZIPPED),
    ("gzip, identity", ZIPPED),
    ('"gzip"', ZIPPED),
    ("deflate", DEFLATED),
    ("deflate", DEFLATED[2:-4]),
    ("deflate", DEFLATED[:-4]),
    ("deflate", zlib.compress(ROWS, 0)),
    ("deflate", zlib.compress(ROWS, 0)[2:-4]),
    ("Deflate", zlib.compress(ROWS, 9) + b"\0" * 8 + b"junk"),
    ("zstd", ZSTD),
    ("zstd", NO_SIZE_ZSTD),
    ("zstd", NO_SIZE_ZSTD + b"\0\0\0"),
    ("ZSTD, utf-8", ZSTD + b"junk"),
    ("gzip", ZIPPED + b"\0" * 64),
    ("gzip", ZIPPED + b"\0" * 70_000),
    ("gzip", ZIPPED + b"\n<!-- cached -->"),
    ("gzip", ZIPPED + b"\0\0\0junk\x1f\x8b\x08"),
    ("gzip", ZIPPED + b"\x1f\x8d\x08 of something else"),
    ("gzip", zipped(ROWS[:10]) + zipped(ROWS[10:])),
    ("gzip", zipped(ROWS[:10]) + b"\0\0" + zipped(ROWS[10:]) + b"\0"),
    ("gzip", zipped(b"") + zipped(ROWS) + zipped(b"")),
    ("zstd", zstandard.ZstdCompressor().compress(ROWS[:9]) + zstandard.ZstdCompressor().compress(ROWS[9:])),
]


@pytest.mark.parametrize("named", COMPRESSED, ids=[f"{n}-{name}" for n, (name, _) in enumerate(COMPRESSED)])
async def test_what_one_compression_made_is_read(named: tuple[str, bytes], tmp_path: Path) -> None:
    encoding, body = named
    header = b"Content-Encoding: " + encoding.encode()
    await check_is_read(answer(body, header), tmp_path)
    head, rest = (
        answer(b"", header, CHUNKED),
        [chunked(body[at : at + 1], end=b"") for at in range(len(body))],
    )
    if len(body) < 1000:
        await check_is_read(head + b"".join(rest) + b"0\r\n\r\n", tmp_path)


async def test_the_beginning_of_a_further_member_may_come_in_pieces(tmp_path: Path) -> None:
    first, second = zipped(ROWS[:10]), zipped(ROWS[10:])
    head = answer(b"", b"Content-Encoding: gzip", b"Content-Length: %d" % len(first + second))
    for cut in (0, 1, 2, 3):
        await check_is_read([head + first, second[:cut], second[cut:]], tmp_path)


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate", b"zstd", b"br", b"gzip, gzip"])
@pytest.mark.parametrize("status", [b"HTTP/1.1 200 OK", b"HTTP/1.1 204 No Content"])
async def test_an_empty_body_is_empty_whatever_compressed_it(
    encoding: bytes, status: bytes, tmp_path: Path
) -> None:
    outcome, _ = await fetched([answer(b"", b"Content-Encoding: " + encoding, status=status)], tmp_path)
    assert isinstance(outcome, Answer)
    assert outcome.value == Records(b"", 0, lacking="the answer is empty, no array")


REFUSED = [
    ("br", b"\x0b\x02\x80[]\x03", "the answer is compressed by br, which was not asked for", 1),
    ("compress", b"\x1f\x9d", "the answer is compressed by compress, which was not asked for", 1),
    (
        "gzip, gzip",
        zipped(ZIPPED),
        "the answer is compressed 2 times (gzip, gzip): one layer is read",
        1,
    ),
    ("deflate, utf-8, zstd", ZSTD, "the answer is compressed 2 times (deflate, zstd): one layer is read", 1),
    ("gzip", ROWS, "not gzip: ", 2),
    ("zstd", ROWS, "not zstd: ", 2),
    ("deflate", ROWS, "not deflate: ", 2),
    ("gzip", ZIPPED[:-3], "the gzip stream is cut off", 2),
    ("gzip", ZIPPED + ZIPPED[:-3], "the gzip stream is cut off", 2),
    ("gzip", ZIPPED + ZIPPED[:2], "the gzip stream is cut off", 2),
    ("gzip", ZIPPED + ZIPPED[:10] + b"\xff" * 20, "not gzip: ", 2),
    ("deflate", DEFLATED[:-9], "the deflate stream is cut off", 2),
    ("deflate", DEFLATED[:1], "the deflate stream is cut off", 2),
    ("zstd", ZSTD[:-3], "the zstd stream is cut off", 2),
]


@pytest.mark.parametrize(("encoding", "body", "words", "tries"), REFUSED)
async def test_what_cannot_be_decompressed_is_a_failure(
    encoding: str, body: bytes, words: str, tries: int, tmp_path: Path
) -> None:
    await check_fails(answer(body, b"Content-Encoding: " + encoding.encode()), tmp_path, words, tries)


@pytest.mark.parametrize("encoding", COMPRESS)
async def test_a_bomb_is_stopped_whatever_made_it(encoding: str, tmp_path: Path) -> None:
    data = b" " * (20 * 2**20)
    body = COMPRESS[encoding](data)
    await check_fails(
        answer(body, b"Content-Encoding: " + encoding.encode()), tmp_path, "more than 100 times its size", 1
    )


@pytest.mark.parametrize("encoding", COMPRESS)
async def test_a_big_body_is_whole_whatever_compressed_it(encoding: str, tmp_path: Path) -> None:
    noise = random.Random(1)  # noqa: S311 - no secret
    rows = json.dumps([{"id": n, "text": noise.randbytes(200).hex()} for n in range(5000)]).encode()
    await check_is_read(
        answer(COMPRESS[encoding](rows), b"Content-Encoding: " + encoding.encode()), tmp_path, rows
    )
