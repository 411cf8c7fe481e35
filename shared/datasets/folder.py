"""Today's dataset files, read anew where they changed: a new file or column needs no restart."""

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from shared.datasets.catalog import Catalog, DatasetFile, RefusedFile, assemble, find_files, read_file
from shared.errors import ConfigurationError
from shared.observability.logging import get_logger

SETTLED_S = 2.0
"""A file that was written so shortly before it was read may have been written again within one tick of its clock."""

_Stamp = tuple[int, int, int, int] | None
_Stamps = tuple[tuple[int, int, int, int], ...] | None

log = get_logger()


def log_refused(refused: RefusedFile) -> None:
    log.warning(
        "dataset_file_refused",
        file=str(refused.path),
        line=refused.line,
        dataset=refused.name,
        reason=refused.reason,
    )


class DatasetFolder:
    """The built-in files and those of a folder. Safe for threads.

    `read` costs a look at each file's size and times, and parses only what changed since the last call.
    """

    def __init__(
        self,
        extra: Path | None,
        environment: Mapping[str, str] | None = None,
        *,
        on_refused: Callable[[RefusedFile], None] = log_refused,
    ) -> None:
        """`on_refused` is called for each file that cannot be used, once for each change of it."""
        self._extra = extra
        self._environment = os.environ if environment is None else environment
        self._on_refused = on_refused
        self._lock = threading.Lock()
        self._known: dict[Path, tuple[_Stamps, DatasetFile | RefusedFile]] = {}
        self._told: set[str] = set()
        self._catalog: Catalog | None = None

    def read(self) -> Catalog:
        """The catalog of now; the same object where nothing changed, or where the folder has gone away.

        Raises `ConfigurationError` if there was no folder at the first call.
        """
        with self._lock:
            try:
                return self._look()
            except ConfigurationError as error:
                if self._catalog is None:
                    raise
                log.warning("dataset_folder_gone", error=str(error))
                return self._catalog

    def _look(self) -> Catalog:
        now_s = time.time()
        found = {path: self._read(path, now_s) for path in find_files(self._extra)}
        files = {path: file for path, (_, file) in found.items()}
        before = {path: file for path, (_, file) in self._known.items()}
        self._known = found
        if self._catalog is None or list(files.items()) != list(before.items()):
            self._catalog = assemble(files.values())
            self._tell(self._catalog)
        return self._catalog

    def _read(self, path: Path, now_s: float) -> tuple[_Stamps, DatasetFile | RefusedFile]:
        known = self._known.get(path)
        if known is not None and known[0] is not None and known[0] == _stamps(path, known[1], now_s):
            return known
        file = read_file(path, self._environment)
        return _stamps(path, file, now_s), file

    def _tell(self, catalog: Catalog) -> None:
        lines = {str(refused) for refused in catalog.refused}
        for refused in catalog.refused:
            if str(refused) not in self._told:
                self._on_refused(refused)
        self._told = lines


def _stamps(path: Path, file: DatasetFile | RefusedFile, now_s: float) -> _Stamps:
    """Of the file and of the code that it names. None: look into them again the next time."""
    if isinstance(file, RefusedFile) and file.depends_on_code:
        return None
    code = file.code_files if isinstance(file, DatasetFile) else ()
    found = tuple(stamp for one in (path, *code) if (stamp := _stamp(one, now_s)) is not None)
    return found if len(found) == 1 + len(code) else None


def _stamp(path: Path, now_s: float) -> _Stamp:
    """None: look into the file again the next time."""
    try:
        found = path.stat()
    except OSError:
        return None
    if now_s - found.st_mtime < SETTLED_S:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
