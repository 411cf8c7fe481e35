"""The brake: when everything fails, the fault is ours, and filling the dead letters would only hide it.

After Sentry's arroyo (`DlqLimit`). Counts only records that ran out of tries: garbage from outside is dead-lettered
at any rate, and an outage never is.
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
class Brake:
    """Off: records flow. On: one is let through every `PROBE_INTERVAL_S`; the first that works takes the brake off."""

    on_since: datetime | None = None
    why: str = ""
    _outcomes: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _in_a_row: int = 0
    _next_probe_s: float = 0.0

    def holds(self, now_s: float) -> float | None:
        """Seconds a record must wait, or None: it may go (and is the probe, if the brake is on)."""
        if self.on_since is None:
            return None
        if now_s < self._next_probe_s:
            return self._next_probe_s - now_s
        self._next_probe_s = now_s + PROBE_INTERVAL_S
        return None

    def worked(self) -> bool:
        """A record was handled. True if that took the brake off."""
        self._in_a_row = 0
        self._outcomes.append(False)
        return self.release()

    def release(self) -> bool:
        """Lets everything go again and forgets the past. True if the brake was on."""
        was_on = self.on_since is not None
        if was_on:
            self.on_since, self._in_a_row = None, 0
            self._outcomes.clear()
        return was_on

    def admit_death(self, now: datetime) -> bool:
        """A record ran out of tries. True: it may die, and counts. False: the brake is on, maybe by it, and it stays."""
        if self.on_since is not None:
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
        self.on_since = now
        return False
