"""`onpoint datasets try` and `check` of a file: the source is asked, and nothing else is needed."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from console.cli import datasets_check, datasets_try
from console.cli.errors import CommandError
from tests.support.api_datasets import TOKEN
from tests.support.api_server import ApiServer, cursor_pages, with_bearer

ROWS = [{"id": number if number != 1 else "one"} for number in range(5)]


@contextmanager
def served() -> Iterator[ApiServer]:
    """In a loop of its own: the command has one, too."""
    api = ApiServer(with_bearer(TOKEN, cursor_pages(ROWS, 2)))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(api.__aenter__(), loop).result(10)
        yield api
        asyncio.run_coroutine_threadsafe(api.__aexit__(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def file_in(folder: Path, url: str, **source: object) -> str:
    path = folder / "things.yaml"
    document = {
        "name": "things",
        "source": {
            "name": "shop",
            "kind": "api",
            "base_url": url,
            "auth": {"kind": "bearer", "token": {"env": "SHOP_TOKEN"}},
            "request": {"path": "/things", "query": {"cursor": "{cursor}"}},
            "records": {"path": "data"},
            "pagination": {"kind": "cursor", "next": {"path": "next"}},
            **source,
        },
        "table": "things",
        "key": ["id"],
        "columns": [{"name": "id", "type": "int64"}],
    }
    path.write_text(yaml.safe_dump(document))
    return str(path)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    with served() as server:
        monkeypatch.setenv("ONPOINT_CRAWL_ALLOW_HOSTS", server.allow)
        monkeypatch.setenv("SHOP_TOKEN", TOKEN)
        yield server


def test_requests_records_rows_and_rejected_lines_are_shown(api: ApiServer, tmp_path: Path) -> None:
    document = datasets_try.try_file(file_in(tmp_path, api.url), 20, [])
    assert [(one["status"], one["outcome"]) for one in document["requests"]] == [(200, "ok")] * 3
    assert len(document["records"]) == 5
    assert document["rows"] == [{"id": 0}, {"id": 2}, {"id": 3}, {"id": 4}]
    assert [one["record"] for one in document["rejected"]] == ['{"id": "one"}']
    assert document["stopped_by"] == ""


def test_no_more_is_asked_for_than_the_limit(api: ApiServer, tmp_path: Path) -> None:
    document = datasets_try.try_file(file_in(tmp_path, api.url), 2, [])
    assert len(document["records"]) == 2
    assert len(api.seen) == 1
    assert "the limit of 2 records" in document["stopped_by"]


def test_a_refusal_is_shown_without_the_token(
    api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "a-wrong-token")
    document = datasets_try.try_file(file_in(tmp_path, api.url), 20, [])
    [failure] = document["failures"]
    assert "HTTP 401" in failure
    assert "a-wrong-token" not in str(document)


def test_a_file_with_a_mistake_is_told_by_line_and_asks_for_nothing(tmp_path: Path) -> None:
    name = file_in(tmp_path, "https://api.example.org", pagination={"kind": "page"})
    with pytest.raises(CommandError, match=r"things.yaml:\d+: source.request: \{page\} is nowhere"):
        datasets_try.try_file(name, 20, [])


def test_a_file_is_checked_wherever_it_is(tmp_path: Path) -> None:
    good = file_in(tmp_path, "https://api.example.org")
    assert datasets_check.check([good]) == (["things"], [])
    _, [fault] = datasets_check.check([file_in(tmp_path, "nowhere")])
    assert fault.startswith(f"{good}:")
    assert "'nowhere' is not an address" in fault
