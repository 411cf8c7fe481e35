"""Starts one process of the stack: in a session of its own, its output appended to a log."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from deploy.local.accounts import Account
from deploy.local.home import OWNER_ONLY, PROJECT_ROOT


async def spawn(
    argv: tuple[str, ...],
    *,
    environment: Mapping[str, str],
    log_file: Path,
    account: Account | None = None,
    stdin: int = asyncio.subprocess.DEVNULL,
) -> asyncio.subprocess.Process:
    """Start a program, as another user if `account` is given. Raises `OSError` if that cannot be.

    Its session keeps a terminal's Ctrl-C from it, and lets `kill_group` reach whatever it starts itself. The
    log is the program's own open file, so writing it depends on no other process.
    """
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, OWNER_ONLY)
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            env=dict(environment),
            # The other user may not be allowed into the checkout.
            cwd=PROJECT_ROOT if account is None else "/",
            stdin=stdin,
            stdout=log,
            stderr=log,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    finally:
        os.close(log)


def kill_group(pid: int) -> None:
    """Kill a process that `spawn` started with all it left in its session; fine if nothing is there."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
