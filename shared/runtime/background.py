"""How work beside the records waits out an outage: logged once, with a growing delay, without end."""

import asyncio
from datetime import UTC, datetime
from weakref import WeakKeyDictionary

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

    def __init__(self, began: str, over: str, *, work: str | None = None) -> None:
        """`work`: what stands still meanwhile, for `/readyz`; None: nothing that a service is not ready without."""
        self._began = began
        self._over = over
        self._work = work
        self._failures = 0

    async def wait(self, error: BaseException) -> None:
        """Waits before the next try."""
        if self._failures == 0:
            why = f"{type(error).__name__}: {error}"[:MAX_LOGGED_CHARS]
            log.warning(self._began, why=why)
            if self._work is not None:
                _standing_still[self] = f"{self._work} paused since {datetime.now(UTC).isoformat()}: {why}"
        await asyncio.sleep(backoff_s(self._failures))
        self._failures += 1

    def end(self) -> None:
        """A try succeeded."""
        if self._failures:
            log.info(self._over, tries=self._failures)
            self._failures = 0
            _standing_still.pop(self, None)


def problems() -> list[str]:
    """Each work of this process that stands still, since when and why, for people."""
    return list(_standing_still.values())


_standing_still: WeakKeyDictionary[Outage, str] = WeakKeyDictionary()
