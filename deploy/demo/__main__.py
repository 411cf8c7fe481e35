"""`make demo`: the whole way on this machine, with a source of its own so that it needs no internet.

Starts the local stack with a demo source beside it, asks for a run of every dataset, waits, shows what arrived. All is
left running; `onpoint down` ends it, the demo source included.
"""

import argparse
import os
import socket
import subprocess
import sys
import time

import psutil

from deploy.local.environment import mark_of
from deploy.local.home import PROJECT_ROOT, Home
from deploy.local.launcher import is_running
from deploy.local.orphans import find_orphans
from deploy.local.ports import free_port

NAME = "demo-source"
PAGE_SIZE = 1000
START_TIMEOUT_S = 20.0
HOST = "127.0.0.1"
SOURCES = ("JSONPLACEHOLDER", "HACKERNEWS")


def main() -> None:
    options = _options()
    home = Home.from_environment(os.environ)
    source = _running_source(home)
    if options.live and source is not None:
        sys.exit("the stack is running on the demo source: stop it with `make down` first")
    if not options.live and source is None and is_running(home):
        sys.exit("a stack is running that does not know the demo source: stop it with `make down` first")
    if options.live:
        _onpoint("up")
    elif source is not None:
        _onpoint("up", extra=_settings(_port_of(source)))
    else:
        port = free_port()
        _onpoint("up", extra=_settings(port))
        # Only now: a start of the stack ends whatever of it was left running.
        _start_source(home, options.rows, port)
    code = _onpoint("run", "--all", "--wait", check=False)
    sys.stdout.write(
        "\nThe stack is left running"
        + ("." if options.live else ", the demo source with it.")
        + "\n  look around   onpoint ps, onpoint runs, onpoint datasets, onpoint --help   (in .venv/bin)"
        + '\n  query         eval "$(.venv/bin/onpoint env)" && psql -c "TABLE onpoint_posts LIMIT 3"'
        + "\n  run again     .venv/bin/onpoint run posts --wait"
        + "\n  stop it       make down   (make down WIPE=1: with its data)\n"
    )
    sys.exit(code)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000, help="posts that the demo source serves")
    parser.add_argument("--live", action="store_true", help="crawl the real APIs; needs internet")
    return parser.parse_args()


def _running_source(home: Home) -> psutil.Process | None:
    return next((left.process for left in find_orphans(home) if left.name == NAME), None)


def _port_of(source: psutil.Process) -> int:
    command = source.cmdline()
    return int(command[command.index("--port") + 1])


def _settings(port: int) -> dict[str, str]:
    """What leads the crawler to the demo source."""
    settings = {"ONPOINT_CRAWL_ALLOW_HOSTS": f"{HOST}:{port}"}
    for source in SOURCES:
        settings[f"ONPOINT_SOURCE_{source}_URL"] = f"http://{HOST}:{port}"
        settings[f"ONPOINT_SOURCE_{source}_REQUESTS_PER_SECOND"] = "0"
        settings[f"ONPOINT_SOURCE_{source}_PAGE_SIZE"] = str(PAGE_SIZE)
    return settings


def _start_source(home: Home, rows: int, port: int) -> None:
    command = [sys.executable, "-m", "deploy.demo.source", "--rows", str(rows), "--port", str(port)]
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
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > deadline_s:
            sys.exit(f"the demo source did not start: see {home.log_file(NAME)}")
        time.sleep(0.05)


def _answers(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def _onpoint(*arguments: str, extra: dict[str, str] | None = None, check: bool = True) -> int:
    environment = {**os.environ, **(extra or {})}
    command = [sys.executable, "-m", "console", *arguments]
    code = subprocess.run(command, cwd=PROJECT_ROOT, env=environment, check=False).returncode  # noqa: S603 - as above
    if check and code:
        sys.exit(code)
    return code


if __name__ == "__main__":
    main()
