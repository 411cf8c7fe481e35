"""A lock has one holder, and ends with it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import locks
from deploy.local.errors import StackError

HOLDER = """
import sys, time
from pathlib import Path
from deploy.local import locks
locks.hold(Path(sys.argv[1]), wait_s=1)
print("held", flush=True)
time.sleep(60)
"""


def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    assert not locks.is_held(path)
    assert not path.exists()
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert locks.is_held(path)
        waits: list[bool] = []
        with pytest.raises(StackError, match="another process has held"):
            locks.hold(path, wait_s=0.2, on_wait=lambda: waits.append(True))
        assert waits == [True]
        holder.kill()
        holder.wait()
    descriptor = locks.hold(path, wait_s=5)
    os.close(descriptor)


def test_lock_is_let_go_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"

    def fail_inside() -> None:
        with locks.held(path, wait_s=0):
            assert locks.is_held(path)
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail_inside()
    assert not locks.is_held(path)
