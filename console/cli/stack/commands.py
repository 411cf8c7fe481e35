"""`onpoint up`, `down`, `ps`, `env`, `logs`: the local stack from the command line."""

import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from console.cli import screen
from console.cli.options import ArrayAsJson
from deploy.local.client_settings import ClientSettings, export_lines
from deploy.local.errors import StackError, UnknownNameError
from deploy.local.home import Home
from deploy.local.names import SUPERVISOR
from shared.events.topology import SERVICES

if TYPE_CHECKING:
    from deploy.local.launcher import Report, Request
    from deploy.local.status import Row

WRONG_USE = 2
INTERRUPTED = 130
DEFAULT_TIMEOUT_S = 300.0
MIB = 1024 * 1024

out = screen.stdout()
err = Console(stderr=True)


UP_EXAMPLES = """\b
Examples:
  onpoint up                              the first start fetches its programs
  ONPOINT_PORTS=free onpoint up           where the usual ports are taken
  ONPOINT_DATASETS_DIR=mine onpoint up    with datasets of your own
  onpoint up --dask 2                     with a Dask cluster of two workers
  onpoint up --cdc                        with change capture of the tables
  onpoint up --observe                    with Prometheus and Alertmanager
  onpoint up --foreground                 in this terminal, until Ctrl-C

\b
The stack's data stays when it is stopped. Exit codes: 0 all is ready; 1 not;
2 wrong use; 130 Ctrl-C.
"""

DOWN_EXAMPLES = """\b
Examples:
  onpoint down           stop it; `onpoint up` goes on with the same data
  onpoint down --wipe    and remove its data
"""

PS_EXAMPLES = """\b
Examples:
  onpoint ps
  onpoint ps --json | jq -r '.[] | select(.state != "ready") | .name'
"""

ENV_EXAMPLES = """\b
Examples:
  eval "$(onpoint env)"
  psql -c 'SELECT * FROM onpoint_posts LIMIT 5'
"""

LOGS_EXAMPLES = """\b
Examples:
  onpoint logs
  onpoint logs loader --follow
  onpoint logs quality --lines 1000
"""


def register(app: typer.Typer) -> None:
    """Add the stack's commands to the `onpoint` command."""
    for command, examples in (
        (up, UP_EXAMPLES),
        (down, DOWN_EXAMPLES),
        (ps, PS_EXAMPLES),
        (env, ENV_EXAMPLES),
        (logs, LOGS_EXAMPLES),
    ):
        app.command(epilog=examples)(command)


def up(
    *,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay in the terminal; Ctrl-C stops everything.")
    ] = False,
    no_services: Annotated[
        bool, typer.Option("--no-services", help="Only Kafka, PostgreSQL and S3, with topics and tables.")
    ] = False,
    dask: Annotated[
        int,
        typer.Option(
            "--dask",
            metavar="N",
            min=0,
            max=64,
            help="Also a Dask cluster of N workers for the processor's batches.",
        ),
    ] = 0,
    cdc: Annotated[
        bool,
        typer.Option("--cdc", help="Also Kafka Connect with Debezium: changes of the tables go to the lake."),
    ] = False,
    observe: Annotated[
        bool,
        typer.Option(
            "--observe", help="Also Prometheus and Alertmanager, with the rules and alerts of this project."
        ),
    ] = False,
    timeout: Annotated[
        float,
        typer.Option("--timeout", metavar="S", min=1, help="Seconds to wait until everything is ready."),
    ] = DEFAULT_TIMEOUT_S,
) -> None:
    """Start Kafka, PostgreSQL, S3 and the six services on this machine, and wait until they are ready."""
    from deploy.local import launcher

    home = Home.from_environment(os.environ)
    services = () if no_services else SERVICES
    request = launcher.Request(home, os.environ, services, dask_workers=dask, cdc=cdc, observe=observe)
    with _errors_for_people():
        if foreground:
            _run_in_foreground(request)
        else:
            _run_in_background(request, timeout)


def down(
    *,
    wipe: Annotated[
        bool, typer.Option("--wipe", help="Also remove the stack's data, logs and secrets.")
    ] = False,
) -> None:
    """Stop the local stack and leave no process of it."""
    from deploy.local import launcher
    from deploy.local.fetch import components_folder

    home = Home.from_environment(os.environ)
    with _errors_for_people(), _progress() as report:
        ran = launcher.shut_down(home, report, wipe=wipe)
    out.print("the stack is down" if ran else "nothing was running", highlight=False)
    if wipe:
        components = components_folder(os.environ)
        out.print(
            f"its data, logs and secrets are removed; downloaded programs stay in {components}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def ps(*, as_json: ArrayAsJson = False) -> None:
    """Show what runs: state, port, process, restarts, memory."""
    from deploy.local.state import running_state
    from deploy.local.status import rows

    home = Home.from_environment(os.environ)
    found = rows(home)
    if as_json:
        sys.stdout.write(json.dumps([row.as_json() for row in found], indent=2) + "\n")
    elif found:
        out.print(_table(found))
        _print_pages(home)
    else:
        out.print("the stack is down: start it with `onpoint up`", highlight=False)
    if found and running_state(home) is None:
        err.print(
            "the supervisor was killed; `onpoint down` or `onpoint up` ends what it left", highlight=False
        )


def env() -> None:
    """Print the running stack's settings as `export NAME=…` lines for a shell."""
    home = Home.from_environment(os.environ)
    found = ClientSettings.of_running_stack(home)
    if found is None:
        err.print(
            f"the stack of {home.path} does not run: start it with `onpoint up`",
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(1)
    sys.stdout.write(export_lines(found.addresses) + "\n")


def logs(
    name: Annotated[
        str | None, typer.Argument(metavar="SERVICE", help="A service or component; all of them if absent.")
    ] = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come in.")] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", metavar="N", min=0, help="Last lines of each log.")
    ] = 50,
) -> None:
    """Show the logs of the stack's processes."""
    from deploy.local import logtail

    home = Home.from_environment(os.environ)
    with _errors_for_people():
        chosen = logtail.choose(home, name)
        if not follow and not any(path.exists() for path in chosen.values()):
            err.print(
                f"there is no log of {name or 'the stack'} yet: start the stack with `onpoint up`",
                highlight=False,
                soft_wrap=True,
            )
            raise typer.Exit(1)
        try:
            for text in logtail.tail(chosen, lines=lines, follow=follow):
                sys.stdout.write(text + "\n")
                sys.stdout.flush()
        except (KeyboardInterrupt, BrokenPipeError):
            # The reader has seen enough, and nothing may be flushed to a closed pipe.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run_in_background(request: "Request", timeout_s: float) -> None:
    from deploy.local import launcher
    from deploy.local.status import rows

    try:
        with _progress() as report:
            if launcher.launch(request, report) is None:
                _report_running(request, report)
            for line in launcher.wait_until_ready(request.home, timeout_s=timeout_s):
                report(line)
    except KeyboardInterrupt:
        goes_on = launcher.goes_on_starting(request.home)
        outcome = (
            "the stack goes on starting: stop it with `onpoint down`" if goes_on else "nothing was started"
        )
        err.print(outcome, highlight=False)
        raise typer.Exit(INTERRUPTED) from None
    out.print(_table(rows(request.home)))
    _print_pages(request.home)
    _print_what_next()


def _run_in_foreground(request: "Request") -> None:
    from deploy.local import launcher, supervisor

    request.home.create()
    with _progress() as report, launcher.launching(request.home, report):
        if launcher.is_running(request.home):
            _report_running(request, report)
            return
        launcher.prepare(request, report)
    supervisor.log_to(logging.StreamHandler(), logging.FileHandler(request.home.log_file(SUPERVISOR)))
    error = supervisor.supervise(request.home)
    if error is not None:
        raise StackError(error)


def _report_running(request: "Request", report: "Report") -> None:
    from deploy.local.config import StackConfig
    from deploy.local.environment import overrides_from

    report("the stack is already running")
    config = StackConfig.find(request.home)
    wanted = overrides_from(request.environ)
    if config is not None and len(config.dask_worker_ports) != request.dask_workers:
        report(
            f"it has {len(config.dask_worker_ports)} Dask workers: `onpoint down`, then `onpoint up --dask N` changes that"
        )
    if config is not None and (config.observe is None) == request.observe:
        report(
            f"it is {'not ' if request.observe else ''}observed: `onpoint down`, then `onpoint up` changes that"
        )
    if config is not None and (line := ignored_settings(config.overrides, wanted)) is not None:
        report(line)


def ignored_settings(started: Mapping[str, str], wanted: Mapping[str, str]) -> str | None:
    """The caller's settings that the running stack does not have, as a sentence; None: there are none."""
    changed = sorted(name for name, value in wanted.items() if started.get(name) != value)
    if not changed:
        return None
    dropped = sorted(started.keys() - wanted.keys())
    also = f", and drops {', '.join(dropped)}, not set here" if dropped else ""
    return (
        "it keeps the settings it was started with; "
        f"`onpoint down`, then `onpoint up` changes {', '.join(changed)}{also}"
    )


@contextmanager
def _progress() -> Iterator["Report"]:
    """A function that prints a line with the seconds since now; on a terminal a spinner turns below."""
    began = time.monotonic()

    def report(line: str) -> None:
        out.print(f"{time.monotonic() - began:6.1f} s  {line}", highlight=False, markup=False, soft_wrap=True)

    with out.status("working") if out.is_terminal else nullcontext():
        yield report


@contextmanager
def _errors_for_people() -> Iterator[None]:
    try:
        yield
    except StackError as error:
        err.print(str(error), highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(WRONG_USE if isinstance(error, UnknownNameError) else 1) from error


def _table(found: "list[Row]") -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "state"):
        table.add_column(heading)
    for heading in ("port", "pid", "restarts", "memory"):
        table.add_column(heading, justify="right")
    for row in found:
        colour = {"ready": "green", "stopped": "dim"}.get(row.state, "yellow")
        table.add_row(
            row.name,
            f"[{colour}]{row.state}[/{colour}]",
            str(row.port),
            str(row.pid or "-"),
            str(row.restarts),
            f"{row.rss_bytes / MIB:.0f} MiB",
        )
    return table


def _print_pages(home: Home) -> None:
    from deploy.local.config import StackConfig
    from deploy.local.ports import dashboard_url, prometheus_url

    config = StackConfig.find(home)
    if config is not None and config.dask_worker_ports:
        out.print(f"Dask's dashboard: {dashboard_url(config.ports)}", highlight=False, markup=False)
    if config is not None and config.observe is not None:
        out.print(
            f"Alerts: `onpoint alerts`; Prometheus: {prometheus_url(config.ports)}",
            highlight=False,
            markup=False,
        )


def _print_what_next() -> None:
    for command, meaning in (
        ('eval "$(onpoint env)"', "the stack's settings for this shell"),
        ("onpoint run --all --wait", "crawl every dataset and wait for the result"),
        ("onpoint down", "stop everything"),
    ):
        out.print(f"  {command:<26}{meaning}", highlight=False, markup=False)
