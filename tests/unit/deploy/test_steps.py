"""The programs that prepare topics and tables at a start: how long they may take, and how a late one is told."""

from pathlib import Path

import pytest

from deploy.local.errors import StackError
from deploy.local.home import Home
from deploy.local.launcher import wait_until_ready
from deploy.local.process_id import ProcessId
from deploy.local.services import STEP_TIMEOUT_S
from deploy.local.state import StackState
from shared.postgres.lock_waiting import LockLimits

WORK_S = 180
"""What a step may take beside its waiting."""


def test_a_migration_may_wait_for_its_locks_as_long_as_it_does() -> None:
    assert STEP_TIMEOUT_S["migrate"] >= LockLimits().in_all_s + WORK_S


def test_a_start_that_waits_for_a_migration_tells_what_the_migration_waits_for(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.create()
    StackState(supervisor=ProcessId.of_this(), steps=["buckets", "topics"]).save(home)
    home.log_file("migrate").write_text("waiting for a lock, held by process 7\n")
    with pytest.raises(StackError) as caught:
        list(wait_until_ready(home, timeout_s=0))
    assert str(caught.value).splitlines()[:2] == [
        "not ready within 0 s: migrate",
        "  migrate: waiting for a lock, held by process 7",
    ]
