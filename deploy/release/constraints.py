"""Turns a lock into constraints: `python -m deploy.release.constraints FILE` prints them.

They are the versions that a release was tested with, for `pip install -c`. Hashes are left out: pip would then ask for
one of every file, the project's own among them.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

_PIN = re.compile(r"(?P<pin>[A-Za-z0-9][^\s;]*==[^\s;]+)(?P<marker> ; [^\\]+?)?\s*\\?$")


def constraints(lock: str) -> Iterator[str]:
    """Each pinned version of the lock, with the condition under which it holds."""
    for line in lock.splitlines():
        if pin := _PIN.fullmatch(line):
            yield pin["pin"] + (pin["marker"] or "")


def main() -> None:
    for line in constraints(Path(sys.argv[1]).read_text(encoding="utf-8")):
        print(line)


if __name__ == "__main__":
    main()
