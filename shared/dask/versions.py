"""What decides the result of a task, and so the bytes of a batch's files: the code, its language and its libraries."""

import hashlib
import platform
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from shared.version import CODE_VERSION

_ROOT = Path(__file__).parents[2]
_SOURCES = ("console/profile", "services/processor", "shared")

_LIBRARIES = (
    "dask",
    "distributed",
    "duckdb",
    "msgspec",
    "orjson",
    "polars",
    "pyarrow",
    "pydantic",
    "stringzilla",
    "zstandard",
)
"""They parse, hash, write and compress, or carry a batch to a worker and back."""

_FINGERPRINT_CHARS = 16


@lru_cache(maxsize=1)
def own_versions() -> Mapping[str, str]:
    """Of this process. Every source file that a task uses is read once: a few milliseconds."""
    return {
        "onpoint": CODE_VERSION,
        "code": _hash_of_the_code(),
        "python": platform.python_version(),
        **{name: version(name) for name in _LIBRARIES},
    }


def fingerprint(versions: Mapping[str, str]) -> str:
    """Equal for two processes that write equal bytes."""
    text = "\n".join(f"{name}={versions[name]}" for name in sorted(versions))
    return hashlib.sha256(text.encode()).hexdigest()[:_FINGERPRINT_CHARS]


def differences(own: Mapping[str, str], other: Mapping[str, str]) -> str:
    """Each part that differs, as `name other (here own)`, for people."""
    return ", ".join(
        f"{name} {other.get(name, 'none')} (here {own.get(name, 'none')})"
        for name in sorted(own.keys() | other.keys())
        if own.get(name) != other.get(name)
    )


def _hash_of_the_code() -> str:
    digest = hashlib.sha256()
    for folder in _SOURCES:
        for file in sorted((_ROOT / folder).rglob("*.py")):
            digest.update(f"{file.relative_to(_ROOT)}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:_FINGERPRINT_CHARS]
