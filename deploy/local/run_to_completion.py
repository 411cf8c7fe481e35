"""Programs that run to their end: formatting, initdb, topics, migrations."""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from deploy.local.accounts import Account
from deploy.local.errors import StackError
from deploy.local.logfiles import last_lines, size_of
from deploy.local.spawn import kill_group, spawn

log = logging.getLogger(__name__)

LINES_SHOWN = 15


async def run_to_completion(
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

    Raises `StackError` with the last lines of the log if it fails or takes longer than `timeout_s`. A
    cancelled call ends the program.
    """
    before = size_of(log_file)
    process = await spawn(
        argv, environment=environment, log_file=log_file, account=account, stdin=asyncio.subprocess.PIPE
    )
    log.info("program_started name=%s program=%s pid=%d", name, Path(argv[0]).name, process.pid)
    try:
        async with asyncio.timeout(timeout_s):
            await process.communicate(stdin)
    except TimeoutError:
        raise StackError(_failure(name, f"did not end within {timeout_s:.0f} s", log_file, before)) from None
    finally:
        kill_group(process.pid)
        await process.wait()
    if process.returncode != 0:
        raise StackError(_failure(name, f"failed with exit code {process.returncode}", log_file, before))


def _failure(name: str, what: str, log_file: Path, since: int) -> str:
    lines = last_lines(log_file, LINES_SHOWN, since=since)
    return "\n".join([f"{name} {what}; the last lines of {log_file}:", *lines])
