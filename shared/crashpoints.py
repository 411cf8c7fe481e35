"""Named points between effects at which a test can kill the process.

`CRASH_AT=<point>:<hit>` ends the process like `kill -9` when the point is reached for the hit-th time. Without
the variable a point costs one comparison.
"""

import os
from collections import Counter

_EXIT_LIKE_SIGKILL = 137

_target = os.environ.get("CRASH_AT", "")
_hits: Counter[str] = Counter()


def reach(point: str) -> None:
    if not _target:
        return
    name, _, hit = _target.rpartition(":")
    if name == point:
        _hits[point] += 1
        if _hits[point] == int(hit):
            os._exit(_EXIT_LIKE_SIGKILL)
