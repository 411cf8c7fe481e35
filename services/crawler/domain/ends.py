"""Where pages end. A source's word for it is compared with what came, never believed alone."""

from dataclasses import dataclass

from services.crawler.domain import urls
from services.crawler.domain.fetching import Answer, Failure
from shared.datasets.model import ApiSource, PagePagination

MAX_TOTAL_DIGITS = 18

NO_SUCH_PAGE = frozenset({400, 404, 410, 416, 422})
"""How sources answer for a page behind their last one. Believed where an end was shown before."""


@dataclass(frozen=True, slots=True)
class PageShown:
    """What a page shows of its own end."""

    url: str
    answered_url: str
    rows: int
    links: tuple[str, ...]
    by_link: bool
    """A link of the page before led here."""


def total_of(answer: Answer[object], pagination: PagePagination) -> int | None:
    """How many records the source says that there are; None where it does not say, or says no number."""
    if pagination.total_header is None:
        return None
    text = (answer.header(pagination.total_header) or "").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_TOTAL_DIGITS):
        return None
    return int(text)


def is_end_shown(rows: int, page_size: int, came: int, promised: int | None) -> bool:
    """Whether a page that is not there would be no surprise after one of `rows` records.

    A total that more came than is proven wrong: it shows nothing.
    """
    return rows < page_size or came == promised


def is_no_such_page(failure: Failure, pagination: PagePagination, *, end_shown: bool) -> bool:
    """Whether a failed request for the next page says that there is none."""
    return failure.status in pagination.end_statuses or (end_shown and failure.status in NO_SUCH_PAGE)


def next_page(
    page: PageShown,
    source: ApiSource,
    pagination: PagePagination,
    *,
    page_size: int,
    came: int,
    promised: int | None,
) -> str | None:
    """The URL of the page after this one; None: the source has shown its end.

    The page that it names counts first. Pages that are numbered end with an empty one, or with a short one where as
    many records came as were promised; a total that more came than is proven wrong and counts as none. `came` counts up
    to this page. Raises `CursorError` for a next page that may not be asked for, and where a full page neither names the
    next nor has a number.
    """
    named = urls.next_by_link(page.links, page.answered_url)
    if named is not None:
        return urls.check_cursor(named, source)
    if page.rows == 0:
        return None
    is_told = promised is not None and came <= promised
    is_behind = promised is not None and came < promised
    is_numbered = urls.page_number(page.url, pagination.page_param) is not None
    if urls.is_paginated(page.links):
        goes_on = is_behind and is_numbered
    elif page.rows >= page_size:
        goes_on = is_numbered or is_behind or not is_told
    else:
        goes_on = is_numbered and (is_behind or not (is_told or page.by_link))
    if not goes_on:
        return None
    return urls.check_cursor(urls.next_by_number(page.url, pagination.page_param), source)
