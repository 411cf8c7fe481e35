"""Where a page's successor is."""

import time

import pytest

from services.crawler.domain.urls import (
    CursorError,
    check_cursor,
    item_url,
    list_url,
    next_by_link,
    next_by_number,
    page_url,
    single_url,
)
from shared.datasets.model import ApiSource, IdListPagination, PagePagination
from tests.support.crawler import PAGES, dataset_of

BASE = "https://api.example/v2"
SOURCE = dataset_of(BASE, PAGES).source
PAGED = PagePagination.model_validate(PAGES)
LISTED = IdListPagination(kind="ids", list_path="/top.json", item_path="/item/{id}.json")


def test_urls_are_built_from_the_dataset() -> None:
    assert page_url(SOURCE, PAGED, 3, 50) == f"{BASE}/things?_page=3&_limit=50"
    assert single_url(SOURCE) == f"{BASE}/things"
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


@pytest.mark.parametrize(
    ("header", "following"),
    [
        ('<https://api.example/v2/things?c=2>; rel="next"', "https://api.example/v2/things?c=2"),
        ("<https://api.example/v2/things?c=2>;rel=next", "https://api.example/v2/things?c=2"),
        ('</v2/things?c=2>; rel="next"', "https://api.example/v2/things?c=2"),
        ('<?c=2>; rel="next"', "https://api.example/v2/things?c=2"),
        ('<things?c=2>; rel="next"', "https://api.example/v2/things?c=2"),
        ('<?c=1>; rel="prev", <?c=3>; rel="next", <?c=9>; rel="last"', "https://api.example/v2/things?c=3"),
        (
            '<?c=1>; rel="prev",<?c=3>; title="a, <b>; rel=\\"x\\""; rel="next"',
            "https://api.example/v2/things?c=3",
        ),
        ('<?c=3>; REL="Next Last"', "https://api.example/v2/things?c=3"),
        ('<?c=3>; rel="last next"', "https://api.example/v2/things?c=3"),
        ('<?a=1,2;3>; rel="next"', "https://api.example/v2/things?a=1,2;3"),
        ('<?c=3>; rel="prev"; rel="next"', None),
        ('<?c=3>; rel="nextpage"', None),
        ('<?c=3>; title="next"', None),
        ('<?c=3>; rel="next"; anchor="#foo"', None),
        ("<?c=3>", None),
        ("?c=3; rel=next", None),
        ("", None),
    ],
)
def test_the_next_page_is_found_in_the_link_header(header: str, following: str | None) -> None:
    assert next_by_link([header], "https://api.example/v2/things?c=1") == following


def test_a_link_may_be_in_a_header_of_its_own() -> None:
    assert next_by_link(['<?c=0>; rel="prev"', '<?c=2>; rel="next"'], BASE) == f"{BASE}?c=2"


def test_a_hostile_link_header_costs_little() -> None:
    started = time.process_time()
    for header in (
        "<" * 8000,
        "<a>" + "; a" * 2700,
        "<a>;" + " " * 8000,
        '<a>; a="' + "\\" * 8000,
        "<a>;a=" * 1300,
    ):
        assert next_by_link([header], BASE) is None
    assert time.process_time() - started < 0.5


def test_without_a_link_the_next_number_is_asked_for() -> None:
    assert next_by_number(f"{BASE}/things?_page=9&_limit=5", "_page") == f"{BASE}/things?_page=10&_limit=5"


@pytest.mark.parametrize("query", ["?cursor=x", "?_page=last", "?_page=", "?_page=" + "9" * 4500])
def test_after_a_page_without_a_number_there_is_no_next_one(query: str) -> None:
    with pytest.raises(CursorError, match="_page of this one is no number"):
        next_by_number(f"{BASE}/things{query}", "_page")


def test_a_cursor_at_the_source_is_followed_without_its_fragment() -> None:
    assert check_cursor("https://api.example:443/x?y=1#z", SOURCE) == "https://api.example/x?y=1"


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example/v2/things",
        "https://api.example:444/v2/things",
        "https://other.example/v2/things",
        "https://api.example.evil.org/",
        "https://user@api.example/",
        "https://api.example@evil.org/",
        "file:///etc/passwd",
        "https://127.0.0.1/",
        "https://api.example:99999/",
        "https://api.example/" + "x" * 5000,
    ],
)
def test_a_cursor_that_leads_away_is_refused(url: str) -> None:
    with pytest.raises(CursorError) as caught:
        check_cursor(url, SOURCE)
    assert len(caught.value.url) <= 4096
