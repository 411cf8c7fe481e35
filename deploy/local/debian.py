"""Programs of Debian's packages, unpacked below the components without an installation."""

import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from deploy.local.errors import FetchError, ToolMissingError
from deploy.local.fetch import components_folder, fetch_once
from deploy.local.tools import on_path

PACKAGES = ("prometheus", "prometheus-alertmanager")
FOLDER = "debian-prometheus"
LISTS = "apt"
PROGRAMS = {
    "prometheus": ("prometheus",),
    "promtool": ("promtool",),
    "alertmanager": ("alertmanager", "prometheus-alertmanager"),
    "amtool": ("amtool",),
}
"""By what this project calls them: the name of upstream first, then Debian's."""
DOWNLOAD_TIMEOUT_S = 600.0
LINES_SHOWN = 5
ADVICE = (
    "put prometheus, promtool, alertmanager and amtool (Prometheus 2.42 or newer) on the path, "
    "or check the network and apt's sources where Debian's packages are used, then start again"
)


@dataclass(frozen=True)
class Observers:
    """The programs that watch a stack."""

    prometheus: Path
    promtool: Path
    alertmanager: Path
    amtool: Path


def fetch_observers(environ: Mapping[str, str], report: Callable[[str], None]) -> Observers:
    """The machine's own programs if all are on the path, else those of Debian's packages.

    The packages (30 MB) are downloaded once for all stacks, by apt, which checks their signatures; that needs no root.
    Raises `FetchError`, `ToolMissingError`.
    """
    installed = {name: _installed(names, environ) for name, names in PROGRAMS.items()}
    if all(installed.values()):
        return Observers(**{name: found for name, found in installed.items() if found is not None})
    target = components_folder(environ) / FOLDER
    fetch_once(target, partial(_download, environ=environ, report=report), report)
    programs = target / "usr" / "bin"
    return Observers(**{name: programs / names[-1] for name, names in PROGRAMS.items()})


def _installed(names: tuple[str, ...], environ: Mapping[str, str]) -> Path | None:
    return next((found for name in names if (found := on_path(name, environ)) is not None), None)


def _download(folder: Path, *, environ: Mapping[str, str], report: Callable[[str], None]) -> None:
    apt, dpkg = on_path("apt-get", environ), on_path("dpkg-deb", environ)
    if apt is None or dpkg is None:
        raise ToolMissingError(f"prometheus was not found, and this machine has no Debian packages: {ADVICE}")
    report("fetching Prometheus and Alertmanager through apt (first start only)")
    # As root, apt would become a user that cannot write here, and warn of it.
    command = (str(apt), "-o", "APT::Sandbox::User=root")
    try:
        _run((*command, "download", *PACKAGES), folder, environ)
    except FetchError:
        # The machine's lists of packages are absent or old, and only root may renew them: these are our own.
        own = _own_lists(folder)
        _run((*command, *own, "update"), folder, environ)
        _run((*command, *own, "download", *PACKAGES), folder, environ)
    shutil.rmtree(folder / LISTS, ignore_errors=True)
    for package in sorted(folder.glob("*.deb")):
        _run((str(dpkg), "--extract", package.name, "."), folder, environ)
        package.unlink()


def _own_lists(folder: Path) -> tuple[str, ...]:
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / LISTS / part).mkdir(parents=True, exist_ok=True)
    places = {"Dir::State::Lists": "lists", "Dir::Cache": "cache"}
    return tuple(word for name, part in places.items() for word in ("-o", f"{name}={folder / LISTS / part}"))


def _run(command: tuple[str, ...], folder: Path, environ: Mapping[str, str]) -> None:
    try:
        result = subprocess.run(  # noqa: S603  (a program of the machine with our own arguments)
            command,
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=DOWNLOAD_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"{command[0]} did not end within {DOWNLOAD_TIMEOUT_S:.0f} s: {ADVICE}") from error
    if result.returncode != 0:
        lines = [line for line in result.stdout.splitlines() if line.strip()][-LINES_SHOWN:]
        raise FetchError("\n".join([f"{' '.join(command)} failed:", *lines, ADVICE]))
