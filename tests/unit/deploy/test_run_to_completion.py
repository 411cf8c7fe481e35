"""A program that must succeed reports why it did not."""

import asyncio
import os
import re
import sys
from pathlib import Path

import psutil
import pytest

from deploy.local.errors import StackError
from deploy.local.run_to_completion import run_to_completion


async def run(log_file: Path, program: str, *, timeout_s: float = 20, stdin: bytes = b"") -> None:
    await run_to_completion(
        "migrate",
        (sys.executable, "-c", program),
        environment=os.environ,
        log_file=log_file,
        timeout_s=timeout_s,
        stdin=stdin,
    )


async def test_success_reads_its_input_and_keeps_the_log(tmp_path: Path) -> None:
    log_file = tmp_path / "migrate.log"
    await run(log_file, "print(input())", stdin=b"one\n")
    await run(log_file, "print('two')")
    assert log_file.read_text() == "one\ntwo\n"
    assert log_file.stat().st_mode & 0o777 == 0o600


async def test_failure_shows_its_own_last_lines(tmp_path: Path) -> None:
    log_file = tmp_path / "migrate.log"
    log_file.write_text("of an earlier run\n")
    with pytest.raises(StackError, match="migrate failed with exit code 3") as raised:
        await run(log_file, "print('the reason'); raise SystemExit(3)")
    assert str(raised.value).splitlines()[1:] == ["the reason"]


async def test_program_that_takes_too_long_is_ended(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with pytest.raises(StackError, match="did not end within 1 s"):
        await run(tmp_path / "migrate.log", "import time; time.sleep(60)", timeout_s=1)
    # It may have been ended before it wrote anything.
    [pid] = re.findall(r"program_started .* pid=(\d+)", caplog.text)
    assert not psutil.pid_exists(int(pid))


async def test_cancelled_call_leaves_no_program(tmp_path: Path) -> None:
    log_file = tmp_path / "migrate.log"
    task = asyncio.create_task(
        run(log_file, "import os, time; print(os.getpid(), flush=True); time.sleep(60)")
    )
    async with asyncio.timeout(10):
        while not log_file.exists() or not log_file.read_text():
            await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not psutil.pid_exists(int(log_file.read_text()))
