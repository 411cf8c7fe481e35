"""The URLs of each kind of pagination."""

import pytest

from services.crawler.sources.rest.ids import item_url, list_url
from services.crawler.sources.rest.none import url_of
from services.crawler.sources.rest.page_batch import page_url
from shared.datasets.model import ApiSource
from shared.datasets.pagination import IdListPagination, PagePagination
from tests.support.crawler import PAGES, source_of

BASE = "https://api.example/v2"
SOURCE = source_of(BASE, PAGES)
PAGED = PagePagination.model_validate(PAGES)
LISTED = IdListPagination(kind="ids", list_path="/top.json", item_path="/item/{id}.json")


def test_urls_are_built_from_the_dataset() -> None:
    assert page_url(SOURCE, PAGED, 3, 50) == f"{BASE}/things?_page=3&_limit=50"
    assert url_of(SOURCE) == f"{BASE}/things"
    assert list_url(SOURCE, LISTED) == f"{BASE}/top.json"
    assert item_url(SOURCE, LISTED, 7) == f"{BASE}/item/7.json"


def test_a_path_keeps_its_own_query() -> None:
    source = ApiSource.model_validate({**SOURCE.model_dump(), "path": "/things?kind=a"})
    assert page_url(source, PAGED, 1, 5) == f"{BASE}/things?kind=a&_page=1&_limit=5"


@pytest.mark.parametrize(
    ("identity", "path"),
    [
        ("a/b", "a%2Fb"),
        ("../x", "..%2Fx"),
        ("a?b#c", "a%3Fb%23c"),
        ("ü", "%C3%BC"),
        ("", ""),
        ("%2e", "%252e"),
        (-1, "-1"),
    ],
)
def test_an_id_cannot_leave_its_place_in_the_path(identity: int | str, path: str) -> None:
    assert item_url(SOURCE, LISTED, identity) == f"{BASE}/item/{path}.json"
