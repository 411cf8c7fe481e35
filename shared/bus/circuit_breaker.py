"""The circuit breaker: it stops a service whose every record fails, before its dead-letter topic fills.

After Sentry's arroyo (`DlqLimit`). It counts only records that ran out of tries. Undecodable records and outages do not
count.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

WINDOW = 100
LEAST_SAMPLE = 20
MAX_DEAD_RATIO = 0.05
MAX_DEAD_IN_A_ROW = 10
PROBE_INTERVAL_S = 5.0


@dataclass(slots=True)
class CircuitBreaker:
    """Closed: records flow. Open: one probe passes every `PROBE_INTERVAL_S`; the first success closes it."""

    open_since: datetime | None = None
    why: str = ""
    _outcomes: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _in_a_row: int = 0
    _next_probe_s: float = 0.0

    def retry_after(self, now_s: float) -> float | None:
        """Seconds a record must wait, or None: it may go (and is the probe, if the breaker is open)."""
        if self.open_since is None:
            return None
        if now_s < self._next_probe_s:
            return self._next_probe_s - now_s
        self._next_probe_s = now_s + PROBE_INTERVAL_S
        return None

    def record_success(self) -> bool:
        """A record was handled. True if that closed the breaker."""
        self._in_a_row = 0
        self._outcomes.append(False)
        return self.reset()

    def reset(self) -> bool:
        """Closes the breaker and forgets earlier failures. True if it was open."""
        was_open = self.open_since is not None
        if was_open:
            self.open_since, self._in_a_row = None, 0
            self._outcomes.clear()
        return was_open

    def allow_failure(self, now: datetime) -> bool:
        """A record ran out of tries. True: it becomes a dead letter, and counts. False: the breaker is open."""
        if self.open_since is not None:
            return False
        dead = sum(self._outcomes) + 1
        seen = len(self._outcomes) + 1
        if self._in_a_row + 1 > MAX_DEAD_IN_A_ROW:
            self.why = f"{self._in_a_row} records in a row failed"
        elif seen >= LEAST_SAMPLE and dead / seen > MAX_DEAD_RATIO:
            self.why = f"{dead} of {seen} records failed"
        else:
            self._in_a_row += 1
            self._outcomes.append(True)
            return True
        self.open_since = now
        return False
