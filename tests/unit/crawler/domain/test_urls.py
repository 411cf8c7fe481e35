"""Where a page's successor is."""

import time

import pytest

from services.crawler.domain.urls import (
    CursorError,
    check_cursor,
    next_by_link,
    next_by_number,
)
from tests.support.crawler import PAGES, source_of

BASE = "https://api.example/v2"
SOURCE = source_of(BASE, PAGES)


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
    with pytest.raises(CursorError, match="_page of this one is not a number"):
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
