"""Where pages end. What a source promises is compared with what came, never believed alone."""

from dataclasses import dataclass

from services.crawler.domain import urls
from services.crawler.domain.error_messages import printable
from services.crawler.domain.fetching import Answer, FetchFailure
from shared.datasets.model import ApiSource
from shared.datasets.pagination import PagePagination

MAX_TOTAL_DIGITS = 18
SHOWN_CHARS = 40

PAGE_NOT_FOUND = frozenset({404, 410, 416})
"""How sources answer for a page behind their last one: believed where the total was reached."""

PAST_LAST_PAGE = PAGE_NOT_FOUND | {400, 422}
"""Believed after a short page. After a full one they may mean that a window is at its end, and not the records."""


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """What a page shows about the end of its chain."""

    url: str
    answered_url: str
    rows: int
    links: tuple[str, ...]
    by_link: bool
    """A link of the page before led here, and not to the page after it by number."""


def total_of(answer: Answer[object], pagination: PagePagination) -> int | None:
    """The number of records that the source promises; None where the header is absent, or not a number."""
    if pagination.total_header is None:
        return None
    text = (answer.header(pagination.total_header) or "").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_TOTAL_DIGITS):
        return None
    return int(text)


def total_header_problem(answer: Answer[object], pagination: PagePagination) -> str | None:
    """A sentence about a header of the total that is not a number; None where it is one, or is absent."""
    if pagination.total_header is None or total_of(answer, pagination) is not None:
        return None
    value = answer.header(pagination.total_header)
    if value is None:
        return None
    shown = printable(value, SHOWN_CHARS) or "nothing"
    return f"the header {pagination.total_header} gives {shown}, which is not a number of records"


def is_past_last_page(
    failure: FetchFailure, pagination: PagePagination, *, after_short: bool, total_reached: bool
) -> bool:
    """Whether a failed request for the next page means that there is none."""
    status = failure.status
    return (
        status in pagination.end_statuses
        or (after_short and status in PAST_LAST_PAGE)
        or (total_reached and status in PAGE_NOT_FOUND)
    )


def next_page(
    page: FetchedPage,
    source: ApiSource,
    pagination: PagePagination,
    *,
    page_size: int,
    came: int,
    promised: int | None,
) -> str | None:
    """The URL of the page after this one; None: the source has shown its end.

    The page that it names counts first. Links without a next are the end, unless they name a later last page or less
    came than was promised; a page that a link led to and that names no next is the last. Numbered pages end with an empty
    one, or with a short one where as many records came as were promised; a total that more came than is proven wrong and
    counts as none. `came` counts up to this page. Raises `CursorError` for a next page that may not be asked for.
    """
    named = urls.next_by_link(page.links, page.answered_url)
    if named is not None:
        return urls.check_cursor(named, source)
    if page.rows == 0:
        return None
    is_told = promised is not None and came <= promised
    is_behind = promised is not None and came < promised
    own = None if page.by_link else urls.page_number(page.url, pagination.page_param)
    if urls.is_paginated(page.links):
        goes_on = own is not None and (is_behind or _number_of_last(page, pagination) > own)
    elif page.rows >= page_size:
        goes_on = own is not None
    else:
        goes_on = own is not None and (is_behind or not is_told)
    if not goes_on:
        return None
    return urls.check_cursor(urls.next_by_number(page.url, pagination.page_param), source)


def _number_of_last(page: FetchedPage, pagination: PagePagination) -> int:
    """The number of the page that the source calls its last; 0 where it calls none so."""
    try:
        named = urls.linked("last", page.links, page.answered_url)
    except urls.CursorError:
        return 0
    return (urls.page_number(named, pagination.page_param) or 0) if named is not None else 0
