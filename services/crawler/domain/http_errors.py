"""The text of an HTTP error, with the source's own message where its body has one."""

import re
from http import HTTPStatus

from services.crawler.domain.answers import web_page_title
from services.crawler.domain.error_messages import message_of, printable
from services.crawler.domain.json_structure import BLANK

MAX_EXPLANATION_BYTES = 16 * 1024
"""Read of an error's body."""

MAX_TEXT_BYTES = 400
"""A longer plain text is not taken for a message."""

_NAMED_SECRET = re.compile(
    r"(?i)\b((?:api[-_ ]?)?key|token|secret|password|signature|sig|bearer|authorization)(\s*[=:]\s*|\s+)"
    r"""["']?(?=[^\s"']*[0-9])[^\s"',;]{6,}"""
)
_OPAQUE = re.compile(r"(?=[\w+/=~-]*[0-9])(?=[\w+/=~-]*[A-Za-z])[\w+/=~-]{20,}")
_HIDDEN = "***"


def http_error_text(status: int, body: bytes) -> str:
    """`the source answers HTTP 401 Unauthorized: token needed`."""
    message = _explanation(body)
    return f"the source answers HTTP {status}{_phrase(status)}" + (f": {message}" if message else "")


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""


def _explanation(body: bytes) -> str:
    """The message of a short text, of an object, or of a web page (its title); else nothing."""
    body = body.strip(BLANK)
    title = web_page_title(body)
    if title is not None:
        return redact_secrets(title)
    if body.startswith((b"{", b"[")):
        return redact_secrets(message_of(body))
    if body.startswith(b"<") or len(body) > MAX_TEXT_BYTES:
        return ""
    return redact_secrets(printable(body.decode("utf-8", "replace")))


def redact_secrets(text: str) -> str:
    """A source may quote the key that it refuses."""
    return _OPAQUE.sub(_HIDDEN, _NAMED_SECRET.sub(rf"\1\2{_HIDDEN}", text))
