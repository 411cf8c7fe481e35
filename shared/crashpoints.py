"""Named points between effects at which a test can kill or pause the process.

`CRASH_AT=<point>:<hit>` ends the process like `kill -9` when the point is reached for the hit-th time;
`STOP_AT=<point>:<hit>` pauses it there like `kill -STOP`, until SIGCONT. Without the variables a point
costs one comparison.
"""

import os
import signal
from collections import Counter

_EXIT_LIKE_SIGKILL = 137

_crash_at = os.environ.get("CRASH_AT", "")
_stop_at = os.environ.get("STOP_AT", "")
_hits: Counter[str] = Counter()


def reach(point: str) -> None:
    if not (_crash_at or _stop_at):
        return
    _hits[point] += 1
    here = f"{point}:{_hits[point]}"
    if here == _crash_at:
        os._exit(_EXIT_LIKE_SIGKILL)
    if here == _stop_at:
        os.kill(os.getpid(), signal.SIGSTOP)
