"""A password that may change while a process runs."""

from pathlib import Path
from typing import Self

from shared.observability.logging import get_logger
from shared.settings.variables import read_file

log = get_logger()


class PasswordFile(str):
    """The password of a file, read again for each login by SCRAM: the driver encodes it then.

    A file that cannot be read leaves the password as it was last. As a text it stays what it was first.
    """

    __slots__ = ("_file", "_latest")
    _file: Path
    _latest: str

    def __new__(cls, file: Path) -> Self:
        """Raises `OSError` or `UnicodeDecodeError`."""
        text = read_file(file)
        made = super().__new__(cls, text)
        made._file, made._latest = file, text
        return made

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        try:
            self._latest = read_file(self._file) or self._latest
        except (OSError, UnicodeDecodeError) as error:
            log.warning("password_not_read", file=str(self._file), why=type(error).__name__)
        return self._latest.encode(encoding, errors)

    def __repr__(self) -> str:
        return f"PasswordFile({str(self._file)!r})"
