"""What curl and Python's requests read is read: answers as they come over a socket, written by hand."""

from itertools import pairwise
from pathlib import Path

import pytest

from services.crawler.http import headers
from tests.support.raw_answers import CHUNKED, ROWS, check_fails, check_is_read
from tests.support.raw_source import answer, chunked

LONG = b"x" * 60_000


CHUNKS = chunked(ROWS[:5], ROWS[5:])


READ_TO_THE_END = {
    "HTTP/1.0": answer(ROWS, status=b"HTTP/1.0 200 OK"),
    "no length": b"HTTP/1.1 200 OK\r\n\r\n" + ROWS,
    "HTTP/1.0 without length": b"HTTP/1.0 200 OK\r\n\r\n" + ROWS,
    "HTTP/1.2": answer(ROWS, status=b"HTTP/1.2 200 OK"),
    "HTTP/2": answer(ROWS, status=b"HTTP/2 200"),
    "HTTP/1.1.1": answer(ROWS, status=b"HTTP/1.1.1 200 OK"),
    "no reason": answer(ROWS, status=b"HTTP/1.1 200"),
    "a reason of blanks": answer(ROWS, status=b"HTTP/1.1 200  "),
    "a reason in Latin": answer(ROWS, status=b"HTTP/1.1 200 \xe9t\xe9"),
    "a reason with a NUL": answer(ROWS, status=b"HTTP/1.1 200 a\0b"),
    "a long reason": answer(ROWS, status=b"HTTP/1.1 200 " + LONG),
    "two blanks": answer(ROWS, status=b"HTTP/1.1  200  OK"),
    "tabs": answer(ROWS, status=b"HTTP/1.1\t200\tOK"),
    "a blank before": answer(ROWS, status=b" HTTP/1.1 200 OK"),
    "empty lines before": b"\r\n\r\n" + answer(ROWS),
    "zeros before the status": answer(ROWS, status=b"HTTP/1.1 0200 OK"),
    "another success": answer(ROWS, status=b"HTTP/1.1 299 Fine"),
    "an early hint": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer(ROWS),
    "two interim answers": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + answer(ROWS),
    "newlines without returns": answer(ROWS).replace(b"\r\n", b"\n"),
    "a blank before the colon": answer(ROWS, b"X-A : 1", b"X-B\t: 1"),
    "a header without a colon": answer(ROWS, b"garbage", b"X-A: 1"),
    "a header without a name": answer(ROWS, b": 1"),
    "a name with blanks": answer(ROWS, b"X A: 1"),
    "a name with brackets": answer(ROWS, b"X(A): 1"),
    "a name in UTF-8": answer(ROWS, "X-Ü: 1".encode()),
    "a value in Latin": answer(ROWS, b"X-A: \xff\xfe"),
    "a value with a NUL": answer(ROWS, b"X-A: a\0b"),
    "a value with a return": answer(ROWS, b"X-A: a\rb"),
    "a value over two lines": answer(ROWS, b"X-A: a\r\n  b"),
    "a first header over two lines": b"HTTP/1.1 200 OK\r\n  b\r\n\r\n" + ROWS,
    "a long header": answer(ROWS, b"X-A: " + LONG),
    "a long name": answer(ROWS, b"X" * 60_000 + b": a"),
    "eight long headers": answer(ROWS, *[b"X-%d: " % n + LONG for n in range(8)]),
    "a header as long as may be": answer(ROWS, b"X-A: " + b"x" * (headers.MAX_LINE_BYTES - 7)),
    "many headers": answer(ROWS, *[b"X-%d: 1" % n for n in range(900)]),
    "the same length twice": answer(ROWS, *[b"Content-Length: %d" % len(ROWS)] * 2),
    "the same length in one header": answer(ROWS, b"Content-Length: %d, %d" % (len(ROWS), len(ROWS))),
    "a length with a sign": answer(ROWS, b"Content-Length: +%d" % len(ROWS)),
    "a length that is none": answer(ROWS, b"Content-Length: abc"),
    "a negative length": answer(ROWS, b"Content-Length: -1"),
    "an empty length": answer(ROWS, b"Content-Length:"),
    "a length of chunks": answer(CHUNKS, b"Content-Length: 5", CHUNKED),
    "chunks": answer(CHUNKS, CHUNKED),
    "chunks declared twice": answer(CHUNKS, CHUNKED, b"TRANSFER-ENCODING: Chunked"),
    "chunks of HTTP/1.0": answer(CHUNKS, CHUNKED, status=b"HTTP/1.0 200 OK"),
    "chunks with extensions": answer(CHUNKS.replace(b"5\r\n", b"5;a=b\r\n"), CHUNKED),
    "chunks with trailers": answer(CHUNKS[:-2] + b"X-A: 1\r\n\r\n", CHUNKED),
    "chunks without the last line": answer(CHUNKS[:-2], CHUNKED),
    "chunks without the last two": answer(CHUNKS[:-4], CHUNKED),
    "no transfer encoding": answer(ROWS, b"Transfer-Encoding: identity"),
    "bytes behind the length": answer(ROWS, b"Content-Length: %d" % len(ROWS)) + b"\r\njunk",
    "bytes behind the chunks": answer(CHUNKS + b"junk", CHUNKED),
    "another answer behind it": answer(ROWS) + answer(b"[]"),
    "an upgrade that is offered": answer(ROWS, b"Upgrade: h2c", b"Connection: Upgrade"),
}


@pytest.mark.parametrize("answered", READ_TO_THE_END.values(), ids=READ_TO_THE_END.keys())
async def test_an_odd_answer_is_read(answered: bytes, tmp_path: Path) -> None:
    await check_is_read(answered, tmp_path)


@pytest.mark.parametrize("answered", READ_TO_THE_END.values(), ids=READ_TO_THE_END.keys())
async def test_an_odd_answer_may_come_in_pieces(answered: bytes, tmp_path: Path) -> None:
    cuts = sorted({0, 3, len(answered) // 3, len(answered) - len(ROWS) - 3, len(answered) - 1, len(answered)})
    await check_is_read([answered[a:b] for a, b in pairwise(cuts)], tmp_path)


async def test_headers_that_matter_are_read_from_an_odd_head(tmp_path: Path) -> None:
    head = [
        b"garbage",
        b"X-Total-Count : 3",
        b"Link: <a>;\r\n\trel=next",
        b"link:<b>; rel=prev",
        b"X-\xff: 1",
    ]
    read = await check_is_read(answer(ROWS, *head), tmp_path)
    assert read.header("X-Total-Count") == "3"
    assert read.headers["link"] == ("<a>; rel=next", "<b>; rel=prev")


BROKEN = {
    "nothing": (b"", "the connection was closed (tried 5 times)"),
    "half a status line": (b"HTTP/1.1 20", "the connection was closed (tried 5 times)"),
    "half a head": (b"HTTP/1.1 200 OK\r\nX-A: 1\r\n", "the connection was closed (tried 5 times)"),
    "fewer bytes than declared": (
        answer(ROWS[:-9], b"Content-Length: 75"),
        "the answer broke off (tried 5 times)",
    ),
    "a length beyond all": (
        answer(ROWS, b"Content-Length: 99999999999999999999999999"),
        "the answer broke off (tried 5 times)",
    ),
    "chunks without an end": (answer(CHUNKS[:-5], CHUNKED), "the answer broke off (tried 5 times)"),
    "half a chunk": (answer(CHUNKS[:40], CHUNKED), "the answer broke off (tried 5 times)"),
    "a chunk that looks like the end": (
        answer(b"15\r\n[1, 2]          \r\n0\r\n", CHUNKED),
        "the answer broke off (tried 5 times)",
    ),
    "no chunks": (
        answer(ROWS, CHUNKED),
        "the answer is not valid HTTP: Invalid character in chunk size (tried 5 times)",
    ),
    "a chunk longer than its size": (
        answer(CHUNKS.replace(b"5\r\n", b"3\r\n"), CHUNKED),
        "the answer is not valid HTTP: ",
    ),
    "two lengths": (
        answer(ROWS, b"Content-Length: 75", b"Content-Length: 7"),
        "the answer gives its length as 7 and 75 (tried 5 times)",
    ),
    "a web page without a head": (
        b"<html>Hello</html>\r\n",
        "the answer does not begin as HTTP does: '<html>Hello</html>' (tried 5 times)",
    ),
    "another protocol": (
        b"SSH-2.0-OpenSSH_8\r\n",
        "the answer does not begin as HTTP does: 'SSH-2.0-OpenSSH_8' (tried 5 times)",
    ),
    "TLS": (b"\x15\x03\x01\x00\x02\x02F", "the answer does not begin as HTTP does: '\\x15\\x03\\x01"),
    "a status of two digits": (
        answer(ROWS, status=b"HTTP/1.1 99 OK"),
        "the answer does not begin as HTTP does: 'HTTP/1.1 99 OK' (tried 5 times)",
    ),
    "a status that is not a number": (
        answer(ROWS, status=b"HTTP/1.1 OK"),
        "the answer does not begin as HTTP does: 'HTTP/1.1 OK' (tried 5 times)",
    ),
    "a header that is too long": (
        answer(ROWS, b"X-A: " + b"x" * headers.MAX_LINE_BYTES),
        "a header of the answer is longer than 65536 bytes (tried 5 times)",
    ),
    "headers that are too long together": (
        answer(ROWS, *[b"X-%d: " % n + LONG for n in range(20)]),
        "the headers of the answer are longer than 524288 bytes (tried 5 times)",
    ),
    "headers without end": (
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200_000,
        "the headers of the answer are longer",
    ),
    "interim answers without end": (
        b"HTTP/1.1 100 a\r\n\r\n" * 50_000,
        "more than 100 interim answers",
    ),
    "too many headers": (
        answer(ROWS, *[b"X-%d: 1" % n for n in range(1100)]),
        "the answer has more than 1000 headers (tried 5 times)",
    ),
}


@pytest.mark.parametrize(("answered", "words"), BROKEN.values(), ids=BROKEN.keys())
async def test_what_no_server_sent_is_not_told(answered: bytes, words: str, tmp_path: Path) -> None:
    failure = await check_fails(answered, tmp_path, words, 5)
    assert failure.status is None
    assert "400" not in failure.detail
