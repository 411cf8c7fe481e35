import asyncio
import io
from typing import Any

import pytest
from rich.console import Console

from console.cli.display import Lines, Nothing, choose
from console.cli.progress import Snapshot, by_key
from console.client.ledger import StageProgress
from console.client.wait import Watch, follow


class Ends:
    """A run that ends after a while, or never."""

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self.cancelled = False

    async def of(self, run_id: str) -> dict[str, Any]:
        try:
            await asyncio.sleep(self._after_s)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return {"run_id": run_id, "status": "succeeded"}


class Screen(Nothing):
    def __init__(self) -> None:
        self.shown: list[Snapshot] = []

    def show(self, snapshot: Snapshot) -> None:
        self.shown.append(snapshot)


class Broken(Nothing):
    def show(self, snapshot: Snapshot) -> None:  # noqa: ARG002 - the protocol's
        raise ValueError("cannot draw")


def watch(dsn: str | None = None) -> Watch:
    return Watch(dsn, "r1", ("posts",))


async def test_the_end_of_the_run_ends_the_wait() -> None:
    assert await follow(Ends(0.01), "r1", watch(), Screen(), None) == {"run_id": "r1", "status": "succeeded"}


async def test_a_wait_without_a_ledger_still_ends_and_says_why_it_shows_nothing() -> None:
    screen = Screen()
    await follow(Ends(0.01), "r1", watch(), screen, None)

    assert screen.shown[0].note is not None
    assert "ONPOINT_POSTGRES_DSN is not set" in screen.shown[0].note


async def test_a_database_that_is_away_hides_the_progress_and_nothing_else() -> None:
    screen = Screen()
    value = await follow(Ends(0.8), "r1", watch("postgresql://me:secret@127.0.0.1:1/x"), screen, None)

    assert value["status"] == "succeeded"
    assert len(screen.shown) > 1
    assert all(
        shown.note and "does not answer" in shown.note and "secret" not in shown.note
        for shown in screen.shown
    )


async def test_time_that_is_over_ends_the_wait_and_leaves_nothing_running() -> None:
    ends = Ends(60)
    with pytest.raises(TimeoutError):
        await follow(ends, "r1", watch(), Screen(), 0.05)

    assert ends.cancelled


async def test_an_error_in_the_drawing_is_not_hidden_behind_an_endless_wait() -> None:
    with pytest.raises(ValueError, match="cannot draw"):
        await follow(Ends(60), "r1", watch(), Broken(), None)


def snapshot(at_s: float, done: int) -> Snapshot:
    stages = by_key([StageProgress("posts", "crawler", 10, None, done, 0, done * 100)])
    return Snapshot("r1", "running", at_s, ("posts",), stages)


def test_a_log_gets_a_line_only_when_something_changed_and_not_more_often_than_every_few_seconds() -> None:
    out = io.StringIO()
    lines = Lines(Console(file=out, width=40))
    for at_s, done in [(0.0, 1), (1.0, 2), (6.0, 3), (12.0, 3), (18.0, 4)]:
        lines.show(snapshot(at_s, done))

    assert [line.strip() for line in out.getvalue().splitlines()] == [
        "0.0 s  posts: crawl 1/10 batches; 100 rows crawled",
        "6.0 s  posts: crawl 3/10 batches; 300 rows crawled",
        "18 s  posts: crawl 4/10 batches; 400 rows crawled",
    ]


def test_a_log_gets_what_the_run_waits_for_once() -> None:
    out = io.StringIO()
    lines = Lines(Console(file=out, width=40))
    for at_s in (0.0, 6.0):
        lines.show(Snapshot("r1", "asked", at_s, ("posts",), phase="asked, waiting for the crawler"))

    assert out.getvalue().strip().endswith("0.0 s  asked, waiting for the crawler")


def test_a_program_that_reads_json_gets_no_progress_on_stderr() -> None:
    assert isinstance(choose(Console(file=io.StringIO()), as_json=True), Nothing)
    assert isinstance(choose(Console(file=io.StringIO()), as_json=False), Lines)


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")

    assert isinstance(choose(Console(force_terminal=True, file=io.StringIO()), as_json=False), Lines)
