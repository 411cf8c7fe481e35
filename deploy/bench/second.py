"""A second process of a service, beside the one that the local stack runs."""

import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import psutil

from console.cli.errors import CommandError
from deploy.local.environment import ALLOCATORS
from deploy.local.home import PROJECT_ROOT
from deploy.local.ports import free_port
from deploy.local.stack import LocalStack

READY_TIMEOUT_S = 60.0


@contextmanager
def second_processes(
    stack: LocalStack, services: Sequence[str], settings: Mapping[str, str]
) -> Iterator[dict[str, psutil.Process]]:
    """Ready, by the names `<service> 2`. They end at the end."""
    with contextlib.ExitStack() as running:
        yield {f"{name} 2": running.enter_context(_second(stack, name, settings)) for name in services}


@contextmanager
def _second(stack: LocalStack, service: str, settings: Mapping[str, str]) -> Iterator[psutil.Process]:
    port = free_port()
    process = subprocess.Popen(  # noqa: S603 - this very interpreter
        [sys.executable, "-m", f"services.{service}.app"],
        cwd=PROJECT_ROOT,
        env={**ALLOCATORS, **os.environ, **settings, **stack.environment(), "ONPOINT_HTTP_PORT": str(port)},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while not _is_ready(port):
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise CommandError(f"a second {service} did not start")
            time.sleep(0.1)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def _is_ready(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2).close()
    except (urllib.error.URLError, OSError):
        return False
    return True
