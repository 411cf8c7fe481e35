"""CPU time of a process, shared among the pieces of work in hand."""

import asyncio
import time

import pytest

from shared.runtime import busy


class Cpu:
    """The process's CPU clock, by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 100.0
        monkeypatch.setattr(time, "process_time", lambda: self.seconds)


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch) -> Cpu:
    return Cpu(monkeypatch)


async def test_a_piece_alone_has_what_the_process_had_since_it_was_begun(cpu: Cpu) -> None:
    with busy.busy():
        cpu.seconds += 2
        assert busy.cpu_ms() == 2000
        cpu.seconds += 1
        assert busy.cpu_ms() == 3000


async def test_pieces_at_once_share_equally_and_together_have_all_of_it(cpu: Cpu) -> None:
    """The first alone for 1 s of CPU, both for 4 s, the second alone for 1 s."""
    second_begun, second_goes_on = asyncio.Event(), asyncio.Event()
    found: dict[str, int | None] = {}

    async def second() -> None:
        with busy.busy():
            second_begun.set()
            await second_goes_on.wait()
            found["second"] = busy.cpu_ms()

    async def first() -> None:
        with busy.busy():
            cpu.seconds += 1
            later = asyncio.create_task(second())
            await second_begun.wait()
            cpu.seconds += 4
            found["first"] = busy.cpu_ms()
        cpu.seconds += 1
        second_goes_on.set()
        await later

    await asyncio.create_task(first())
    assert found == {"first": 3000, "second": 3000}


async def test_idle_time_of_the_process_is_nobodys(cpu: Cpu) -> None:
    cpu.seconds += 50
    with busy.busy():
        cpu.seconds += 1
        assert busy.cpu_ms() == 1000


async def test_outside_of_a_piece_nothing_is_known() -> None:
    assert await asyncio.create_task(outside()) is None


async def outside() -> int | None:
    return busy.cpu_ms()
