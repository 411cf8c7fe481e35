"""Removes an engine whose test was killed: `python -m tests.compose.guard`, with the engine's folder on standard input.

Its input ends when the test does, whatever ended it. After an orderly end the folder is gone, and nothing is left to do.
"""

import signal
import sys
from pathlib import Path

from tests.compose.engine import Engine


def main() -> None:
    # An interrupt is meant for the test.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    folder = Path(sys.stdin.readline().strip())
    sys.stdin.read()
    if folder.exists():
        Engine(folder).stop()


if __name__ == "__main__":
    main()
