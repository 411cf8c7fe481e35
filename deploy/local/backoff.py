"""How long to wait before a process that ended is started again."""

FIRST_S = 0.5
MAX_S = 30.0
HEALTHY_S = 60.0
"""A failure after this time in health counts as the first."""


class Backoff:
    """Half a second at first, twice as long after each failure in a row, half a minute at most."""

    def __init__(self) -> None:
        self._failures = 0

    def next_delay_s(self, *, healthy_s: float) -> float:
        """The pause after a failure of a process that had been ready for `healthy_s` seconds."""
        if healthy_s >= HEALTHY_S:
            self._failures = 0
        delay_s = min(MAX_S, FIRST_S * 2.0**self._failures)
        self._failures += 1
        return delay_s

    def reset(self) -> None:
        """For a start on request: earlier failures do not count."""
        self._failures = 0
