"""`make demo`: the whole way on this machine, with a source of our own so that it needs no internet.

Starts the local stack with a demo source beside it, asks for a run of every dataset, waits, shows what arrived. All is
left running; `onpoint down` ends it, the demo source included.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from deploy.local.environment import mark_of
from deploy.local.home import PROJECT_ROOT, Home
from deploy.local.launcher import is_running
from deploy.local.leftovers import find_leftovers

NAME = "demo-source"
PAGE_SIZE = 1000
START_TIMEOUT_S = 20.0
SOURCES = ("JSONPLACEHOLDER", "HACKERNEWS")


def main() -> None:
    options = _options()
    home = Home.from_environment(os.environ)
    if options.live:
        _need_no_demo_source(home)
        sources: dict[str, str] = {}
    else:
        sources = _sources(home, options.rows)
    _onpoint("up", extra=sources)
    code = _onpoint("run", "--wait", check=False)
    sys.stdout.write(
        "\nThe stack is left running"
        + (" (and the demo source with it)." if sources else ".")
        + "\n  look around   onpoint ps, onpoint runs, onpoint datasets, onpoint --help   (in .venv/bin)"
        + '\n  query         eval "$(.venv/bin/onpoint env)" && psql -c "SELECT count(*) FROM onpoint_posts"'
        + "\n  run again     .venv/bin/onpoint run posts --wait"
        + "\n  stop it       make down   (make down WIPE=1: with its data)\n"
    )
    sys.exit(code)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000, help="posts that the demo source serves")
    parser.add_argument("--live", action="store_true", help="crawl the real APIs; needs internet")
    return parser.parse_args()


def _sources(home: Home, rows: int) -> dict[str, str]:
    """The settings that lead the crawler to the demo source, which runs when this returns."""
    running = [leftover for leftover in find_leftovers(home) if leftover.name == NAME]
    port_file = home.path / f"{NAME}.port"
    if not running:
        if is_running(home):
            sys.exit("a stack is running that does not know the demo source: stop it with `make down` first")
        _start_source(home, rows, port_file)
    address = f"127.0.0.1:{port_file.read_text().strip()}"
    settings = {"ONPOINT_CRAWL_ALLOW_HOSTS": address}
    for source in SOURCES:
        settings[f"ONPOINT_SOURCE_{source}_URL"] = f"http://{address}"
        settings[f"ONPOINT_SOURCE_{source}_REQUESTS_PER_SECOND"] = "0"
        settings[f"ONPOINT_SOURCE_{source}_PAGE_SIZE"] = str(PAGE_SIZE)
    return settings


def _start_source(home: Home, rows: int, port_file: Path) -> None:
    home.create()
    port_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "deploy.demo.source", "--rows", str(rows), "--port-file", str(port_file)]
    with home.log_file(NAME).open("ab") as log:
        # The mark makes it a part of the stack: `onpoint down` finds and ends it.
        process = subprocess.Popen(  # noqa: S603 - this very interpreter
            command,
            cwd=PROJECT_ROOT,
            env={**os.environ, **mark_of(home, NAME)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while not port_file.exists():
        if process.poll() is not None or time.monotonic() > deadline_s:
            sys.exit(f"the demo source did not start: see {home.log_file(NAME)}")
        time.sleep(0.05)


def _need_no_demo_source(home: Home) -> None:
    if any(leftover.name == NAME for leftover in find_leftovers(home)):
        sys.exit("the stack is running on the demo source: stop it with `make down` first")


def _onpoint(*arguments: str, extra: dict[str, str] | None = None, check: bool = True) -> int:
    environment = {**os.environ, **(extra or {})}
    command = [sys.executable, "-m", "console", *arguments]
    code = subprocess.run(command, cwd=PROJECT_ROOT, env=environment, check=False).returncode  # noqa: S603 - as above
    if check and code:
        sys.exit(code)
    return code


if __name__ == "__main__":
    main()
