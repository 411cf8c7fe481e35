"""How work beside the records waits out an outage: logged once, with a growing delay, without end."""

import asyncio

from shared.observability.logging import get_logger

BACKOFF_S = (0.25, 0.5, 1.0, 2.0)
"""Short, so that work resumes at once after an outage."""

MAX_LOGGED_CHARS = 500

log = get_logger()


def backoff_s(failures: int) -> float:
    """The delay after `failures` failed tries in a row, from 0: the first one is short."""
    return BACKOFF_S[min(failures, len(BACKOFF_S) - 1)]


class Outage:
    """Of one loop. Logs the event `began` with the first failed try, and `over` with the next successful one."""

    def __init__(self, began: str, over: str) -> None:
        self._began = began
        self._over = over
        self._failures = 0

    async def wait(self, error: BaseException) -> None:
        """Waits before the next try."""
        if self._failures == 0:
            log.warning(self._began, why=f"{type(error).__name__}: {error}"[:MAX_LOGGED_CHARS])
        await asyncio.sleep(backoff_s(self._failures))
        self._failures += 1

    def end(self) -> None:
        """A try succeeded."""
        if self._failures:
            log.info(self._over, tries=self._failures)
            self._failures = 0
