"""The reasons of missing pages, the cause last."""

from services.crawler.domain import urls


def missing_page(url: str, page_param: str, cause: str) -> str:
    return f"{_page(url, page_param)} is missing: {cause}"


def missing_from_page(url: str, page_param: str, cause: str) -> str:
    """Of a page that names the one after it: without it no other can be asked for."""
    return f"{_page(url, page_param)} and all after it are missing: {cause}"


def cut_page(url: str, page_param: str, size: int) -> str:
    """Of a page with more records than the first one had, in a run with a limit: pages are planned by their size."""
    return (
        f"{_page(url, page_param)} has more records than the first page, which had {size}: "
        "with a limit the others are left out; ask without a limit"
    )


def _page(url: str, page_param: str) -> str:
    number = urls.page_number(url, page_param)
    return "a page" if number is None else f"page {number}"
