"""Reads secrets where a dataset file says that they are: anew for each use, so that a mounted file may change."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from shared.datasets.sources.secret_names import Secret

MAX_BYTES = 64 * 1024
HIDDEN = "***"
LEAST_HIDDEN_CHARS = 4
MAX_REMEMBERED = 1000

OWN_FILES = ("onpoint", "kafka", "postgres", "s3", "minio", "aws")
"""Files of the pipeline itself begin so."""


def variable(name: str) -> str | None:
    """Of this process; None where it is not set, or empty."""
    return os.environ.get(name) or None


class SecretError(Exception):
    """A secret is not there. The message names its place, never its value."""


class SecretValues:
    """`folders`: where files of secrets may be. Nothing else is read, whatever a dataset file names."""

    def __init__(self, folders: tuple[Path, ...], environment: Mapping[str, str] | None = None) -> None:
        self._folders = folders
        self._environment = os.environ if environment is None else environment
        self._seen: dict[str, None] = {}

    def read(self, secret: Secret) -> str:
        """Raises `SecretError`. A file costs a read of at most 64 KiB."""
        value = self._variable(secret.env) if secret.env else self._file(secret.file or "")
        if not value:
            raise SecretError(f"{secret} is empty")
        self.remember(value)
        return value

    def remember(self, value: str) -> None:
        """Of a secret, or a token that one gave: it is hidden from now on."""
        if len(value) >= LEAST_HIDDEN_CHARS:
            self._seen[value] = None
            if len(self._seen) > MAX_REMEMBERED:
                self._seen.pop(next(iter(self._seen)))

    def hide(self, text: str) -> str:
        """The text without any secret that was read."""
        for value in self._seen:
            text = text.replace(value, HIDDEN)
        return text

    def _variable(self, name: str) -> str:
        value = self._environment.get(name)
        if value is None:
            raise SecretError(f"the variable {name} is not set: the crawler needs it in its environment")
        return value

    def _file(self, name: str) -> str:
        path = Path(name)
        if not any(path.is_relative_to(folder) for folder in self._folders) or path.name.startswith(
            OWN_FILES
        ):
            allowed = ", ".join(map(str, self._folders)) or "no folder"
            raise SecretError(f"the file {name} may not be read: secrets of sources are below {allowed}")
        try:
            resolved = path.resolve(strict=True)
            if not any(resolved.is_relative_to(folder.resolve()) for folder in self._folders):
                raise SecretError(f"the file {name} leads out of the folders of secrets")
            with resolved.open("rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise SecretError(f"{name} is not a regular file")
                data = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise SecretError(f"the file {name} cannot be read: {error.strerror}") from error
        if len(data) > MAX_BYTES:
            raise SecretError(f"the file {name} is larger than {MAX_BYTES} bytes")
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise SecretError(f"the file {name} is not UTF-8") from error
        return text.removesuffix("\n").removesuffix("\r")
