"""The six services and the programs that prepare their topics, tables and buckets."""

import sys
from functools import partial

from deploy.local import probes
from deploy.local.config import StackConfig
from deploy.local.credentials import Credentials
from deploy.local.environment import process_environment
from deploy.local.home import Home
from deploy.local.logfiles import last_lines, size_of
from deploy.local.managed_process import ProcessSpec
from deploy.local.names import CDC_SINK, LEFT_OUT
from deploy.local.orphans import SERVICE_STOP_S
from deploy.local.run_to_completion import run_to_completion

STEP_TIMEOUT_S = {"buckets": 180.0, "topics": 180.0, "migrate": 780.0, "cdc": 180.0}
"""A migration waits for locks for 600 s in all, then leaves the table out and names who holds the lock."""
LINES_READ = 1000
MODULES = {CDC_SINK: "services.s3sink.cdc"}

STEP_COMMANDS = {
    "buckets": ("-m", "deploy.local.buckets"),
    "topics": ("-m", "console", "topics", "apply"),
    "migrate": ("-m", "console", "migrate", "--warn-only"),
    "cdc": ("-m", "console", "cdc", "register"),
}


def service_spec(name: str, home: Home, config: StackConfig, credentials: Credentials) -> ProcessSpec:
    """One service, probed at its own /readyz and /livez."""
    port = config.ports.of(name)
    return ProcessSpec(
        name=name,
        kind="service",
        port=port,
        argv=(sys.executable, "-m", MODULES.get(name, f"services.{name}.app")),
        environment=process_environment(name, home, config, credentials),
        is_ready=partial(probes.http_is_ok, port, "/readyz"),
        is_alive=partial(probes.http_is_ok, port, "/livez"),
        stop_timeout_s=SERVICE_STOP_S,
    )


async def run_step(name: str, home: Home, config: StackConfig, credentials: Credentials) -> list[str]:
    """Run one of the programs that must succeed before the stack counts as ready; what it went on without.

    Raises `StackError`.
    """
    log_file = home.log_file(name)
    before = size_of(log_file)
    await run_to_completion(
        name,
        (sys.executable, *STEP_COMMANDS[name]),
        environment=process_environment(name, home, config, credentials),
        log_file=log_file,
        timeout_s=STEP_TIMEOUT_S[name],
    )
    lines = last_lines(log_file, LINES_READ, since=before)
    return [line for line in lines if line.startswith(LEFT_OUT)]
