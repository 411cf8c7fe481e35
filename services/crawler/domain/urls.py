"""Finds the URL of the next page. Whether a URL may be requested at all is checked by the address guard."""

import re
from collections.abc import Iterable, Iterator

from yarl import URL

from shared.datasets.model import ApiSource

MAX_URL_CHARS = 4096
SHOWN_URL_CHARS = 120

_NAME = r"[\w!#$%&'*+.^`|~-]++"
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_BARE = r'[^\s;,"]*+'
_LINK = re.compile(
    rf"<(?P<target>[^<>]*+)>(?P<parameters>(?:[ \t]*+;[ \t]*+{_NAME}(?:[ \t]*+=[ \t]*+(?:{_QUOTED}|{_BARE}))?+)*+)"
)
_PARAMETER = re.compile(
    rf";[ \t]*+(?P<name>{_NAME})(?:[ \t]*+=[ \t]*+(?:(?P<quoted>{_QUOTED})|(?P<token>{_BARE})))?+"
)
"""Possessive throughout: a header of a hostile source costs linear time."""

PAGE_RELATIONS = frozenset({"next", "prev", "previous", "first", "last"})

NO_URL = (ValueError, IndexError)
"""What yarl raises; the second for a user before no host, as `http://[::1]@`."""


class CursorError(ValueError):
    """A source names a next page where none may be followed. `url` is what it named, shortened."""

    def __init__(self, url: str, detail: str) -> None:
        super().__init__(detail)
        self.url = url[:MAX_URL_CHARS]


def shown_url(text: str) -> str:
    """A URL as messages may show it: without user and query, which may hold secrets."""
    try:
        shown = str(URL(text).with_user(None).with_query(None).with_fragment(None))
    except NO_URL:
        shown = text.partition("?")[0]
    return shown[:SHOWN_URL_CHARS]


def is_paginated(headers: Iterable[str]) -> bool:
    """Whether Link headers (RFC 8288) speak of pages at all, and not of style sheets or documentation."""
    return any(rels & PAGE_RELATIONS for rels, _ in _links(headers))


def next_by_link(headers: Iterable[str], answered: str) -> str | None:
    """The absolute URL of `rel=next`, or None. `answered` is the URL that relative ones start from."""
    return linked("next", headers, answered)


def linked(relation: str, headers: Iterable[str], answered: str) -> str | None:
    """As `next_by_link`, of any relation. Raises `CursorError` for a target that is not a URL."""
    for rels, target in _links(headers):
        if relation in rels:
            return _join(answered, target)
    return None


def page_number(url: str, page_param: str) -> int | None:
    """The page that an URL asks for by number."""
    try:
        return int(URL(url).query[page_param])
    except (KeyError, *NO_URL):
        return None


def next_by_number(url: str, page_param: str) -> str:
    """The page after this one, for sources that name no next. Raises `CursorError` where this one has no number."""
    page = page_number(url, page_param)
    if page is None:
        raise CursorError(url, f"no next page is named, and {page_param} of this one is not a number")
    return str(URL(url).update_query({page_param: str(page + 1)}))


def _links(headers: Iterable[str]) -> Iterator[tuple[frozenset[str], str]]:
    """Relations, in lower case, and target of each link about the answer itself."""
    for header in headers:
        for link in _LINK.finditer(header):
            parameters: dict[str, str] = {}
            for found in _PARAMETER.finditer(link["parameters"]):
                quoted = found["quoted"]
                value = found["token"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted[1:-1])
                parameters.setdefault(found["name"].lower(), value or "")  # of two, the first counts
            if "anchor" not in parameters:
                yield frozenset(parameters.get("rel", "").lower().split()), link["target"].strip()


def check_cursor(url: str, source: ApiSource) -> str:
    """The cursor, if it stays at the source's scheme, host and port. Raises `CursorError`."""
    if len(url) > MAX_URL_CHARS:
        raise CursorError(
            url, f"the next page's URL has {len(url)} characters, at most {MAX_URL_CHARS} are followed"
        )
    try:
        named, own = URL(url), URL(source.base_url)
        same = (named.scheme, named.raw_host, named.port) == (own.scheme, own.raw_host, own.port)
    except NO_URL as error:
        raise CursorError(url, f"the next page's URL is not valid: {error}"[:300]) from error
    if not same or named.raw_user is not None or named.raw_password is not None:
        raise CursorError(url, f"the next page is not at {own.scheme}://{own.authority}")
    return str(named.with_fragment(None))


def _join(answered: str, target: str) -> str:
    try:
        return str(URL(answered).join(URL(target)))
    except NO_URL as error:
        raise CursorError(target, f"the next page's URL is not valid: {error}"[:300]) from error
