"""Refused lines, with what the requests log knows of them."""

import base64
from bisect import bisect_right

import msgspec
import orjson

from services.processor.domain.parse import Refused
from shared.errors import PermanentError
from shared.reasons import Reason

MAX_RAW_BYTES = 2**20
"""The part of a refused line that is stored: enough to recognize it, too little to fill a disk."""

_PLACEHOLDER_REASONS = frozenset({Reason.FETCH, Reason.EMPTY})


class Request(msgspec.Struct, frozen=True):
    """A request of the crawler and the lines it became: `rows` of them from `place` (from 0)."""

    place: int
    rows: int
    url: str | None = None
    reason: str | None = None
    detail: str | None = None


class RequestLog:
    """Which request a line came from."""

    def __init__(self, requests: list[Request]) -> None:
        self._requests = sorted((r for r in requests if r.rows > 0), key=lambda request: request.place)
        self._places = [request.place for request in self._requests]

    def find(self, line: int) -> Request | None:
        index = bisect_right(self._places, line) - 1
        if index < 0:
            return None
        request = self._requests[index]
        return request if line < request.place + request.rows else None


def read_request_log(data: bytes) -> RequestLog:
    """Raises `PermanentError` (`schema`) for data that is not a requests log."""
    try:
        return RequestLog(_LOG.decode_lines(data))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PermanentError(Reason.SCHEMA, f"the requests log cannot be read: {error}") from error


def quarantine_line(refused: Refused, log: RequestLog, first_position: int) -> tuple[Reason, bytes]:
    """The reason in the end, and a JSON line with its newline."""
    request = log.find(refused.line)
    reason, detail = refused.reason, refused.detail
    if refused.is_placeholder and request is not None and request.reason in _PLACEHOLDER_REASONS:
        reason = Reason(request.reason)
        detail = request.detail or ("the request failed" if reason is Reason.FETCH else detail)
    raw = refused.raw
    if len(raw) > MAX_RAW_BYTES:
        detail = f"{detail}; raw is the first {MAX_RAW_BYTES} of {len(raw)} bytes"
        raw = raw[:MAX_RAW_BYTES]
    line = {
        "source_position": refused.line + first_position,
        "reason": reason.value,
        "detail": detail,
        "url": None if request is None else request.url,
        **_raw(raw, is_whole=raw is refused.raw and reason is not Reason.TOO_LARGE),
    }
    return reason, orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _raw(raw: bytes, *, is_whole: bool) -> dict[str, str]:
    """As text where a database would take it as text. A character that was cut in two is left out."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        if is_whole or error.end < len(raw) or len(raw) - error.start >= _LONGEST_CHARACTER_BYTES:
            return {"raw_base64": base64.b64encode(raw).decode()}
        text = raw[: error.start].decode()
    return {"raw_base64": base64.b64encode(raw).decode()} if "\0" in text else {"raw": text}


_LONGEST_CHARACTER_BYTES = 4
_LOG = msgspec.json.Decoder(Request)
