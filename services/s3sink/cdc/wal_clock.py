"""When PostgreSQL had written its log up to where: a slot tells bytes, people ask for seconds."""

from collections import deque

MOST = 4096
"""Eleven hours at a look each 10 s; beyond that every second look is forgotten, so that it stays bounded."""


class WalClock:
    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque()

    def lag_s(self, now_s: float, written: int, confirmed: int) -> float:
        """For how long there has been log that is not confirmed, by the looks so far; 0: all of it is confirmed."""
        self._looks.append((now_s, written))
        while self._looks and self._looks[0][1] <= confirmed:
            self._looks.popleft()
        if len(self._looks) > MOST:
            self._looks = deque(list(self._looks)[::2])
        return now_s - self._looks[0][0] if self._looks else 0.0
