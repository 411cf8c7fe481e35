"""A PostgreSQL server of a test's own: of any version that the local stack knows, stopped and started at will."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg

from deploy.local import fetch, postgres_versions
from deploy.local.accounts import postgres_account, reachable_programs
from deploy.local.ports import HOST, free_port

USER = "onpoint"
START_TIMEOUT_S = 60

SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "fsync": "off",
    "shared_buffers": "16MB",
    "autovacuum": "off",
}
"""Quick to start and to stop, and nothing that is meant to last."""


class PostgresServer:
    """Takes every client of this machine without a password; a context manager that leaves nothing behind."""

    def __init__(
        self, version: str = postgres_versions.DEFAULT, settings: Mapping[str, str] | None = None
    ) -> None:
        self.version = version
        self.port = free_port()
        self._settings = {**SETTINGS, **(settings or {})}
        account = postgres_account()
        self._uid = account.uid if account else None
        self._gid = account.gid if account else None
        programs = fetch.fetch_postgres(version, os.environ, print)
        self._programs = reachable_programs(programs, account) / "bin"
        self.folder = Path(tempfile.mkdtemp(prefix="onpoint-postgres-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._give(self.folder)
            locale = postgres_versions.locale_options(self.version)
            self._run("initdb", f"--pgdata={self._data}", f"--username={USER}", "--auth=trust",
                      "--encoding=UTF8", "--no-locale", *locale, "--no-instructions", "--no-sync")  # fmt: skip
            self.start()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def add(self, name: str, content: bytes) -> Path:
        """A file that only the server may read."""
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(0o600)
        self._give(path)
        return path

    def start(self) -> None:
        """Returns when the server takes connections."""
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                (self._programs / "postgres", "-D", self._data, "-p", str(self.port), *options),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._uid,
                group=self._gid,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"PostgreSQL does not start:\n{(self.folder / 'log').read_text()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """At once, as an immediate shutdown; every client loses its connection."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(START_TIMEOUT_S)
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def dsn(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}@{HOST}:{self.port}/{database}"

    async def new_database(self) -> str:
        """The address of an empty database."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        admin = await asyncpg.connect(self.dsn())
        await admin.execute(f'CREATE DATABASE "{name}"')
        await admin.close()
        return self.dsn(name)

    def _give(self, path: Path) -> None:
        if self._uid is not None and self._gid is not None:
            os.chown(path, self._uid, self._gid)

    def _answers(self) -> bool:
        """Whether it asks for nothing more: while it starts or recovers, its answer begins with an E."""
        parameters = b"".join(part.encode() + b"\0" for part in ("user", USER, "database", "postgres", ""))
        packet = (8 + len(parameters)).to_bytes(4, "big") + (3 << 16).to_bytes(4, "big") + parameters
        try:
            with socket.create_connection((HOST, self.port), timeout=5) as connection:
                connection.sendall(packet)
                return connection.recv(1) == b"R"
        except OSError:
            return False

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            (self._programs / program, *arguments),
            capture_output=True,
            text=True,
            check=False,
            user=self._uid,
            group=self._gid,
        )
        assert done.returncode == 0, done.stdout + done.stderr
