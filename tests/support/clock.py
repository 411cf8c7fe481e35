"""An event loop whose clock is simulated: sleeps return at once, and the time they ask for has passed exactly."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _ClockedLoop(asyncio.SelectorEventLoop):
    """Its time goes on only while every task sleeps, and then at once to the next moment at which one wakes."""

    def __init__(self) -> None:
        self._now_s = 1000.0
        selector = selectors.DefaultSelector()
        super().__init__(selector)
        self._poll = selector.select
        selector.select = self._skip  # type: ignore[method-assign]

    def time(self) -> float:
        return self._now_s

    def _skip(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("every task waits, and none for a time")
        self._now_s += max(0.0, timeout)
        return self._poll(0)


def in_no_time(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The result of `work`. Its sleeps pass on the event loop's clock and take no real time."""
    with asyncio.Runner(loop_factory=_ClockedLoop) as runner:
        return runner.run(work())


def now_s() -> float:
    return asyncio.get_running_loop().time()
