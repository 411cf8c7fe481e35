"""The local stack that runs: its settings for clients, and its processes. Read by commands that work on any installation."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from console.cli.errors import WrongUseError
from deploy.local.client_settings import ClientSettings
from deploy.local.home import Home

if TYPE_CHECKING:
    from console.verify.process_usage import ServiceProcess


def client_settings(environ: Mapping[str, str]) -> ClientSettings | None:
    """None where no stack runs."""
    return ClientSettings.of_running_stack(Home.from_environment(environ))


def service_processes(environ: Mapping[str, str]) -> "list[ServiceProcess]":
    """Those that run now. Raises `WrongUseError` where no stack runs."""
    from console.verify.process_usage import ServiceProcess
    from deploy.local.state import running_state
    from shared.events.topology import SERVICES

    state = running_state(Home.from_environment(environ))
    if state is None:
        raise WrongUseError("no stack of this machine runs here: its processes cannot be looked at")
    found = []
    for child in state.children:
        process = child.process.find() if child.process else None
        if process is not None and child.name in SERVICES:
            found.append(ServiceProcess(child.name, child.restarts, process))
    return found
