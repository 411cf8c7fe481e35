"""Programs that run to their end: formatting, initdb, topics, migrations."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from deploy.local.accounts import Account
from deploy.local.errors import StackError
from deploy.local.home import OWNER_ONLY, PROJECT_ROOT
from deploy.local.logfiles import last_lines

log = logging.getLogger(__name__)

LINES_SHOWN = 15


async def run_once(
    name: str,
    argv: tuple[str, ...],
    *,
    environment: Mapping[str, str],
    log_file: Path,
    timeout_s: float,
    account: Account | None = None,
    stdin: bytes = b"",
) -> None:
    """Run a program to its end, its output appended to `log_file`.

    Raises `StackError` with the last lines of the log if it fails or takes longer than `timeout_s`. A cancelled call
    ends the program.
    """
    descriptor = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, OWNER_ONLY)
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            env=dict(environment),
            cwd=PROJECT_ROOT if account is None else "/",
            stdin=asyncio.subprocess.PIPE,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    finally:
        os.close(descriptor)
    log.info("program_started name=%s program=%s pid=%d", name, Path(argv[0]).name, process.pid)
    try:
        async with asyncio.timeout(timeout_s):
            await process.communicate(stdin)
    except TimeoutError:
        raise StackError(_failure(name, f"did not end within {timeout_s:.0f} s", log_file)) from None
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if process.returncode != 0:
        raise StackError(_failure(name, f"failed with exit code {process.returncode}", log_file))


def _failure(name: str, what: str, log_file: Path) -> str:
    return "\n".join([f"{name} {what}; the last lines of {log_file}:", *last_lines(log_file, LINES_SHOWN)])
