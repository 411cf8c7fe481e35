import asyncio
from typing import Any

import pytest

from console.client.progress import Snapshot
from console.client.wait import POLL_S, ProgressReader, pause_s, wait


class Completions:
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


class Screen:
    def __init__(self) -> None:
        self.shown: list[Snapshot] = []

    def show(self, snapshot: Snapshot) -> None:
        self.shown.append(snapshot)


class Broken:
    def show(self, snapshot: Snapshot) -> None:  # noqa: ARG002 - as `wait` calls it
        raise ValueError("cannot draw")


def progress(dsn: str | None = None) -> ProgressReader:
    return ProgressReader(dsn, "r1", ("posts",))


async def test_the_end_of_the_run_ends_the_wait() -> None:
    assert await wait(Completions(0.01), "r1", progress(), Screen().show, None) == {
        "run_id": "r1",
        "status": "succeeded",
    }


async def test_a_wait_without_a_ledger_still_ends_and_reports_why_it_shows_nothing() -> None:
    screen = Screen()
    await wait(Completions(0.01), "r1", progress(), screen.show, None)

    assert screen.shown[0].note is not None
    assert "ONPOINT_POSTGRES_DSN is not set" in screen.shown[0].note


async def test_a_database_that_is_away_hides_the_progress_and_nothing_else() -> None:
    screen = Screen()
    value = await wait(
        Completions(0.8), "r1", progress("postgresql://me:secret@127.0.0.1:1/x"), screen.show, None
    )

    assert value["status"] == "succeeded"
    assert len(screen.shown) > 1
    assert all(
        shown.note and "does not answer" in shown.note and "secret" not in shown.note
        for shown in screen.shown
    )


async def test_time_that_is_over_ends_the_wait_and_leaves_nothing_running() -> None:
    completions = Completions(60)
    with pytest.raises(TimeoutError):
        await wait(completions, "r1", progress(), Screen().show, 0.05)

    assert completions.cancelled


async def test_an_error_in_the_drawing_is_not_hidden_behind_an_endless_wait() -> None:
    with pytest.raises(ValueError, match="cannot draw"):
        await wait(Completions(60), "r1", progress(), Broken().show, None)


def test_asking_takes_a_tenth_of_the_time_at_most() -> None:
    assert pause_s(0.001) == POLL_S
    assert pause_s(1.0) == 9.0
