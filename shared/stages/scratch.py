"""The files of one batch on this machine."""

import errno
import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import TransientError

HASH_BLOCK_BYTES = 2**20
_MACHINE_EXHAUSTED = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for one batch's files, gone afterwards whatever happens.

    Raises `TransientError` where the machine has no room or no handles left: that is not a fault of the batch.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="onpoint-") as folder:
            yield Path(folder)
    except OSError as error:
        if error.errno in _MACHINE_EXHAUSTED:
            raise TransientError(f"the scratch folder: {error}"[:500]) from error
        raise


def hash_file(path: Path) -> tuple[str, int]:
    """SHA-256 in hex and size in bytes. Memory is one block."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(HASH_BLOCK_BYTES):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size
