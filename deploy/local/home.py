"""Where one stack keeps its state: everything below one folder, so that two stacks can live side by side."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.user_folders import data_home

PROJECT_ROOT = Path(__file__).resolve().parents[2]
"""The folder of the packages: the checkout, or `site-packages`."""
IS_CHECKOUT = (PROJECT_ROOT / "pyproject.toml").is_file()
CHECKOUT_HOME = PROJECT_ROOT / ".onpoint"

OWNER_ONLY = 0o600
COMPONENTS = "components"
OWN_ENTRIES = frozenset(
    {
        COMPONENTS,
        "client.json",
        "config.json",
        "credentials.json",
        "data",
        "launch.lock",
        "logs",
        "places.json",
        "ports.json",
        "run",
        "s3.json",
        "state.json",
        "supervisor.lock",
    }
)
"""All that a home may contain."""
LOCKS = frozenset({"launch.lock", "supervisor.lock"})
"""Every start takes the first before it makes anything else, and nothing removes them: a folder with one is a home."""
NEIGHBOURS = frozenset({"airflow", "chaos", "compose"})
"""What other parts of the project keep in the default home: not foreign there, and not the stack's to remove."""


@dataclass(frozen=True)
class Home:
    """The folder of one stack. Nothing is created before `create`."""

    path: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Home":
        """`ONPOINT_HOME`, or `default_home`."""
        return cls(Path(environ.get("ONPOINT_HOME") or default_home(environ)).absolute())

    @property
    def identity(self) -> str:
        """Sixteen hex digits that tell this home from any other on the machine."""
        return hashlib.sha256(str(self.path.resolve()).encode()).hexdigest()[:16]

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def config_file(self) -> Path:
        return self.path / "config.json"

    @property
    def client_file(self) -> Path:
        return self.path / "client.json"

    @property
    def state_file(self) -> Path:
        return self.path / "state.json"

    @property
    def s3_identities_file(self) -> Path:
        return self.path / "s3.json"

    @property
    def credentials_file(self) -> Path:
        return self.path / "credentials.json"

    @property
    def ports_file(self) -> Path:
        return self.path / "ports.json"

    @property
    def places_file(self) -> Path:
        return self.path / "places.json"

    @property
    def launch_lock(self) -> Path:
        """Held by the process that starts or ends the stack, for as long as that takes."""
        return self.path / "launch.lock"

    @property
    def supervisor_lock(self) -> Path:
        """Held by the supervisor for its whole life; the kernel lets go of it however the supervisor ends."""
        return self.path / "supervisor.lock"

    def log_file(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def create(self) -> None:
        """Make the folders. Raises `StackError` where they cannot be made, or the path contains something else.

        Only their owner may look inside; root lets others pass, as its PostgreSQL is another user.
        """
        try:
            create_passable(self.path)
            self.refuse_if_foreign()
            self.path.chmod(_folder_mode())
            create_passable(self.data)
            self.logs.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StackError(
                f"the stack's home {self.path} cannot be used ({error.strerror}): set ONPOINT_HOME to another"
            ) from error

    def was_started(self) -> bool:
        """Whether a stack has ever been started here; False where there is no trace of one.

        Raises `StackError` for a folder that no stack made: entries in it with a stack's names are not a stack's.
        """
        try:
            names = {entry.name for entry in self.path.iterdir()}
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StackError(f"{self.path} is not the home of a stack ({error.strerror})") from error
        if names & LOCKS:
            return True
        others = sorted(names - {COMPONENTS} - NEIGHBOURS)
        if others:
            raise StackError(
                f"no stack was ever started in {self.path}, which contains other things ({', '.join(others[:3])}): "
                "set ONPOINT_HOME to the stack's own folder"
            )
        return False

    def wipe(self) -> None:
        """Remove everything but downloaded components and the locks, which others may wait for."""
        for name in OWN_ENTRIES:
            entry = self.path / name
            if name == COMPONENTS or name in LOCKS:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)

    def refuse_if_foreign(self, advice: str = "set ONPOINT_HOME to a folder of its own") -> None:
        """Raise `StackError` where the folder contains what no stack has made."""
        foreign = sorted(entry.name for entry in self.path.iterdir() if not _is_ours(entry.name))
        if foreign:
            raise StackError(f"{self.path} contains other things ({', '.join(foreign[:3])}): {advice}")


def default_home(environ: Mapping[str, str], *, is_checkout: bool = IS_CHECKOUT) -> Path:
    """`.onpoint` in the checkout of this code; of an installed package `onpoint` among the user's data."""
    return CHECKOUT_HOME if is_checkout else data_home(environ) / "onpoint"


def create_passable(folder: Path) -> None:
    """Create `folder` with its parents: 0700, or 0711 for root, whose PostgreSQL runs as another user.

    A folder that exists keeps its mode.
    """
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True)
    folder.chmod(_folder_mode())


def _folder_mode() -> int:
    return 0o711 if os.geteuid() == 0 else 0o700


def _is_ours(name: str) -> bool:
    # Also a file that `write_private` was about to put in place when its process ended.
    return name in OWN_ENTRIES | NEIGHBOURS or any(name.startswith(f".{own}.") for own in OWN_ENTRIES)


def write_private(path: Path, text: str) -> None:
    """Replace `path` as a whole, readable by its owner alone; a reader sees the old text or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)
