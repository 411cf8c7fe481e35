"""What a killed supervisor leaves is found and ended, and nothing else is."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.local.environment import mark_of
from deploy.local.home import Home
from deploy.local.orphans import end_orphans, find_orphans
from deploy.local.process_id import ProcessId
from deploy.local.state import ChildState, StackState
from deploy.local.status import rows

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


@pytest.fixture
def sleeper(home: Home) -> Iterator[subprocess.Popen[bytes]]:
    """A process that carries the mark of the home's loader."""
    with subprocess.Popen(SLEEPER, env={**os.environ, **mark_of(home, "loader")}) as process:
        yield process
        process.kill()


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(SLEEPER) as process:
        yield process
        process.kill()


def record(home: Home, process: ProcessId) -> None:
    child = ChildState(name="loader", kind="service", port=1, state="ready", process=process)
    StackState(supervisor=ProcessId(pid=process.pid, created=1.0), children=[child]).save(home)


def test_recorded_process_is_ended(home: Home, stranger: subprocess.Popen[bytes]) -> None:
    recorded = ProcessId.of(stranger.pid)
    assert recorded is not None
    record(home, recorded)
    assert [row.pid for row in rows(home)] == [stranger.pid]
    assert end_orphans(home) == ["loader"]
    assert not psutil.pid_exists(stranger.pid)
    assert rows(home) == []


def test_process_that_only_has_the_pid_by_now_is_spared(
    home: Home, stranger: subprocess.Popen[bytes]
) -> None:
    record(home, ProcessId(pid=stranger.pid, created=psutil.Process(stranger.pid).create_time() - 3600))
    assert find_orphans(home) == []
    assert rows(home) == []


def test_marked_process_is_found_without_any_record(home: Home, sleeper: subprocess.Popen[bytes]) -> None:
    assert [(left.name, left.process.pid) for left in find_orphans(home)] == [("loader", sleeper.pid)]
    assert end_orphans(home) == ["loader"]
    assert not psutil.pid_exists(sleeper.pid)


def test_paused_process_is_ended(home: Home, sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.send_signal(signal.SIGSTOP)
    end_orphans(home)
    assert not psutil.pid_exists(sleeper.pid)


def test_process_of_another_home_is_spared(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    assert find_orphans(Home(tmp_path / "other")) == []
    assert sleeper.poll() is None


def test_state_that_cannot_be_parsed_is_ignored(home: Home, sleeper: subprocess.Popen[bytes]) -> None:
    home.state_file.write_text('{"of": "another version"}')
    assert end_orphans(home) == ["loader"]
    assert not psutil.pid_exists(sleeper.pid)
