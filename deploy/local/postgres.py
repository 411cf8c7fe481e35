"""PostgreSQL: a cluster of its own, with a password, and change capture possible from the start."""

import contextlib
import os
import shutil
import signal
from functools import partial
from pathlib import Path

from deploy.local import probes
from deploy.local.accounts import Account, data_folder, postgres_account, reachable_programs
from deploy.local.config import StackConfig
from deploy.local.credentials import POSTGRES_DATABASE, POSTGRES_USER, Credentials
from deploy.local.environment import component_environment
from deploy.local.errors import StackError
from deploy.local.home import Home
from deploy.local.managed_process import ProcessSpec
from deploy.local.ports import HOST
from deploy.local.postmaster import postmaster_pid
from deploy.local.run_to_completion import run_to_completion

NAME = "postgres"
MAJOR_VERSION = "18"
INITDB_TIMEOUT_S = 120.0

SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    # Change capture needs no restart later.
    "wal_level": "logical",
    "max_wal_senders": "10",
    "max_replication_slots": "10",
    # A change capture that stays away must not fill the disk.
    "max_slot_wal_keep_size": "2GB",
    "max_connections": "100",
    "shared_buffers": "128MB",
    # A checkpoint in the middle of a load makes every page whole in the log once more: at 1 GB it doubled.
    "max_wal_size": "4GB",
    "wal_buffers": "16MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
    "cluster_name": "onpoint",
}


def postgres_spec(home: Home, config: StackConfig, credentials: Credentials) -> ProcessSpec:
    """The server; its cluster, user and database are made before the first start."""
    account = postgres_account()
    programs = reachable_programs(config.postgres_programs, account)
    data = data_folder(home, account)
    options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
    return ProcessSpec(
        name=NAME,
        kind="component",
        port=config.ports.postgres,
        argv=(str(programs / "bin/postgres"), "-D", str(data), "-p", str(config.ports.postgres), *options),
        environment=component_environment(NAME, home),
        is_ready=partial(probes.postgres_is_ready, config.ports.postgres, POSTGRES_USER, POSTGRES_DATABASE),
        stop_signal=signal.SIGINT,
        stop_timeout_s=30.0,
        account=account,
        prepare=partial(_prepare, home, programs, data, account, credentials),
    )


async def _prepare(
    home: Home, programs: Path, data: Path, account: Account | None, credentials: Credentials
) -> None:
    version_file = data / "PG_VERSION"
    if not version_file.exists():
        await _init(home, programs, data, account, credentials)
        return
    version = version_file.read_text().strip()
    if version != MAJOR_VERSION:
        raise StackError(
            f"{data} is of PostgreSQL {version}, this is {MAJOR_VERSION}: "
            "`onpoint down --wipe` starts anew, without the data"
        )
    if postmaster_pid(data) is None:
        # Left by a crash. PostgreSQL would not start if another process of its user had that pid by now.
        (data / "postmaster.pid").unlink(missing_ok=True)


async def _init(
    home: Home, programs: Path, data: Path, account: Account | None, credentials: Credentials
) -> None:
    """Make the cluster aside and move it as a whole, so a start that is cut off leaves nothing half done."""
    fresh = data.with_name(f"{data.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    password_file = data.with_name(f"{data.name}.password")
    with contextlib.suppress(FileNotFoundError):
        password_file.unlink()
    descriptor = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(credentials.postgres_password)
        if account is not None:
            os.chown(fresh, account.uid, account.gid)
            os.chown(password_file, account.uid, account.gid)
        await _initdb(home, programs, fresh, password_file, account)
    finally:
        password_file.unlink()
    shutil.rmtree(data, ignore_errors=True)
    fresh.rename(data)


async def _initdb(
    home: Home, programs: Path, data: Path, password_file: Path, account: Account | None
) -> None:
    run = partial(
        run_to_completion,
        NAME,
        environment=component_environment(NAME, home),
        log_file=home.log_file(NAME),
        timeout_s=INITDB_TIMEOUT_S,
        account=account,
    )
    await run(
        (
            str(programs / "bin/initdb"),
            f"--pgdata={data}",
            f"--username={POSTGRES_USER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-locale",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-instructions",
        )
    )
    # A server for one statement: the database is there before anyone can connect.
    await run(
        (str(programs / "bin/postgres"), "--single", "-D", str(data), "postgres"),
        stdin=f"CREATE DATABASE {POSTGRES_DATABASE};\n".encode(),
    )
