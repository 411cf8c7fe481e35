"""From one page to the next: where a chain is, and whether its source has shown its end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from yarl import URL

from services.crawler.domain.requests.rendering import secret_entries
from services.crawler.domain.urls import MAX_URL_CHARS, NO_URL, CursorError, shown_url
from shared.datasets.sources.api import RequestSource
from shared.datasets.sources.auth import Send
from shared.datasets.sources.pagination import Cursors, Offsets, PageNumbers, Pages

Place = Mapping[str, Any]
"""Where a chain is: `page`, `offset`, `cursor` or `url`; of the first page of cursors and links nothing."""

MAX_CURSOR_CHARS = 3000
PAST_THE_END = frozenset({404, 410, 416})
"""How sources answer for a page behind a short or empty one."""


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What a page tells beside its records."""

    rows: int = 0
    """Records as they came, before any is left out."""
    next: Any = None
    """The next cursor or URL; None: it names none."""
    more: bool | None = None
    total: int | None = None
    token: Any = None
    marks: Sequence[Any] = field(default_factory=tuple)
    """Of the records: the smallest and the largest value of the incremental field."""
    is_over: bool = False
    """The source or a rule says that nothing follows."""


def first_place(pagination: Pages) -> Place:
    if isinstance(pagination, PageNumbers):
        return {"page": pagination.first}
    if isinstance(pagination, Offsets):
        return {"offset": pagination.first}
    return {}


def following_place(
    source: RequestSource, place: Place, page: PageFacts, came: int, answered_url: str
) -> Place | None:
    """None: this was the last page. `came`: records of the chain up to this page. Raises `CursorError`.

    Without a total and a condition, numbered pages end with an empty one, and cursors where none is named.
    """
    pagination = source.pagination
    if page.is_over or pagination.kind == "none" or page.more is False:
        return None
    if isinstance(pagination, PageNumbers | Offsets):
        return _by_number(pagination, place, page, came)
    if page.next is None or page.next is False or page.next == "":
        return None
    if isinstance(pagination, Cursors):
        return {"cursor": _cursor(page.next, place)}
    return {"url": next_url(source, page.next, answered_url)}


def _by_number(pagination: PageNumbers | Offsets, place: Place, page: PageFacts, came: int) -> Place | None:
    if page.rows == 0 and not page.more:
        return None
    following: Place
    if isinstance(pagination, PageNumbers):
        following = {"page": place["page"] + 1}
        asked = following["page"] - pagination.first
    else:
        following = {"offset": place["offset"] + page.rows}
        asked = 0
    total = pagination.total
    if total is not None and page.total is not None and page.more is None:
        is_reached = asked >= page.total if total.of == "pages" and asked else came >= page.total
        return None if is_reached else following
    return following


def _cursor(value: Any, place: Place) -> Any:
    if isinstance(value, str) and len(value) > MAX_CURSOR_CHARS:
        raise CursorError(
            "", f"the next cursor has {len(value):,} characters, at most {MAX_CURSOR_CHARS:,} are sent"
        )
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise CursorError("", f"the next cursor is neither a text nor a number: {value!r:.80}")
    if place.get("cursor") == value:
        raise CursorError("", f"the source names the cursor {str(value)[:60]!r} as the one after itself")
    return value


def next_url(source: RequestSource, named: Any, answered_url: str) -> str:
    """The next page's URL if it may be asked for: by https, at the source's own host or one that the file names.

    What is sent by `auth`, or holds a secret, is taken out of its query. Raises `CursorError`.
    """
    if not isinstance(named, str) or len(named) > MAX_URL_CHARS:
        raise CursorError("", f"the next page's URL is not one of at most {MAX_URL_CHARS} characters")
    try:
        url = URL(answered_url).join(URL(named)).with_fragment(None)
        own = URL(answered_url)
        if own.scheme == "https" and url.scheme == "http" and url.explicit_port in {None, 80}:
            url = URL(str(url).replace("http://", "https://", 1))
    except NO_URL as error:
        raise CursorError(named, f"the next page's URL is not valid: {error}"[:300]) from error
    if url.raw_user is not None or url.raw_password is not None:
        raise CursorError(shown_url(named), "the next page's URL holds a user or a password")
    if not is_own(source, str(url)) and not _is_named_host(source, url):
        raise CursorError(
            shown_url(str(url)),
            f"the next page is at {url.host}, and only {_host(source)} is asked: name it in `hosts`",
        )
    secret = [
        send.name
        for auth in source.auth
        if isinstance(send := getattr(auth, "send", None), Send) and send.place == "query"
    ]
    secret += secret_entries(source.request)
    return str(url.without_query_params(*secret) if secret else url)


def is_own(source: RequestSource, url: str) -> bool:
    """Whether an URL is at the scheme, host and port of the source, where its credentials may go.

    The address of the source has its parameters filled in.
    """
    own, other = URL(source.base_url), URL(url)
    return (own.scheme, own.raw_host, own.port) == (other.scheme, other.raw_host, other.port)


def _is_named_host(source: RequestSource, url: URL) -> bool:
    return url.scheme in {"http", "https"} and (url.host in source.hosts or url.authority in source.hosts)


def _host(source: RequestSource) -> str:
    return source.base_url.partition("//")[2].partition("/")[0]


def is_end_by_status(pagination: Pages, status: int | None, *, after_short: bool) -> bool:
    """Whether a refused next page means that there is none."""
    return isinstance(pagination, PageNumbers | Offsets) and after_short and status in PAST_THE_END
