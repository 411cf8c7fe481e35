"""One thin interface on obstore, the same for S3, a local folder and memory.

The driver's errors are converted here. A call is never cancelled half-way (obstore works on in its own threads): it
is bounded by the client's own timeouts and awaited to the end.
"""

import asyncio
import atexit
import builtins
import hashlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import LocalStore, MemoryStore, S3Store

from shared.errors import ConfigurationError, PermanentError
from shared.reasons import Reason
from shared.settings.object_store import ObjectStoreSettings, check_endpoint
from shared.storage.errors import ChecksumError, ObjectMissingError, StorageUnavailableError
from shared.storage.outages import error_text, is_bucket_missing

if TYPE_CHECKING:
    from obstore.store import S3Config  # exists for type checkers only

MULTIPART_CHUNK_BYTES = 8 * 2**20
"""Parts of an upload; S3's least is 5 MiB."""

MULTIPART_CONCURRENCY = 2
"""Parts in flight: an upload has at most this many chunks in memory."""

CONNECT_TIMEOUT = timedelta(seconds=5)
CALL_TIMEOUT = timedelta(seconds=60)
"""Of one try of one call, its body included."""

READ_TRIES = 3
"""An object that its manifest names should be there and whole: S3 is read-after-write consistent, and what arrives wrong
may have been changed on the way. So look a few times, no more."""

EXIT_GRACE_S = 0.05
"""obstore's threads drop their last Python reference shortly after a call returned; an interpreter that is gone
by then aborts the process (seen in 3 of 20 short programs, in 0 of 40 with this pause)."""

atexit.register(time.sleep, EXIT_GRACE_S)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    key: str
    bytes: int
    last_modified: datetime


class ObjectStore:
    """Objects of one bucket by key. `name` is the bucket; `uri` and `key` convert between both forms.

    Every method raises `StorageUnavailableError` when the store does not answer.
    """

    def __init__(self, store: S3Store | LocalStore | MemoryStore, scheme: str, name: str) -> None:
        self._store = store
        self._base = f"{scheme}://{name}/"
        self.name = name

    def uri(self, key: str) -> str:
        return self._base + key

    def key(self, uri: str, prefix: str) -> str:
        """The key of an object that an event names. Raises `PermanentError` unless it is in this bucket, below `prefix`."""
        key = uri.removeprefix(self._base)
        if key == uri or not key.startswith(prefix) or ".." in key.split("/"):
            raise PermanentError(Reason.SCHEMA, f"{uri[:200]!r} is not below {self._base}{prefix}")
        return key

    async def put(self, key: str, data: bytes | Path, metadata: Mapping[str, str] | None = None) -> None:
        """Durable when it returns. Replaces what is there. `metadata` is the user's, of S3."""
        with _translated(self.uri(key)):
            await _to_the_end(
                obstore.put_async(
                    self._store,
                    key,
                    data,
                    attributes=None if metadata is None else dict(metadata),
                    chunk_size=MULTIPART_CHUNK_BYTES,
                    max_concurrency=MULTIPART_CONCURRENCY,
                )
            )

    async def create(self, key: str, data: bytes) -> bool:
        """True: this call made the object. False: it was there before, or an earlier try of this call made it."""
        try:
            with _translated(self.uri(key)):
                await _to_the_end(obstore.put_async(self._store, key, data, mode="create"))
        except FileExistsError:
            return False
        return True

    async def get(self, key: str) -> bytes | None:
        """The whole object, or None. For small ones: manifests, plans, listings."""
        try:
            with _translated(self.uri(key)):
                result = await _to_the_end(obstore.get_async(self._store, key))
                return bytes(await _to_the_end(result.bytes_async()))
        except FileNotFoundError:
            return None

    async def download(self, key: str, target: Path, *, size: int, sha256: str) -> None:
        """Streams the object into `target` and checks it. Memory is one chunk.

        Raises `ObjectMissingError`, or `ChecksumError` when length or hash differ each time.
        """
        for attempt in range(1, READ_TRIES + 1):
            try:
                return await self._download(key, target, size=size, sha256=sha256)
            except FileNotFoundError as error:
                if attempt == READ_TRIES:
                    raise ObjectMissingError(self.uri(key)) from error
            except ChecksumError:
                if attempt == READ_TRIES:
                    raise
            await asyncio.sleep(0.2 * attempt)
        raise AssertionError("unreachable")

    async def copy(self, source: str, target: str) -> None:
        """Copies within the bucket, in the store itself; durable when it returns. Replaces what is there.

        Raises `ObjectMissingError`.
        """
        for attempt in range(1, READ_TRIES + 1):
            try:
                with _translated(self.uri(source)):
                    await _to_the_end(obstore.copy_async(self._store, source, target))
            except FileNotFoundError as error:
                if attempt == READ_TRIES:
                    raise ObjectMissingError(self.uri(source)) from error
                await asyncio.sleep(0.2 * attempt)
            else:
                return

    async def head(self, key: str) -> ObjectInfo | None:
        try:
            with _translated(self.uri(key)):
                meta = await _to_the_end(obstore.head_async(self._store, key))
        except FileNotFoundError:
            return None
        return ObjectInfo(key, meta["size"], meta["last_modified"])

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Every object below `prefix`, in pages: memory is one page."""
        with _translated(self.uri(prefix)):
            async for page in obstore.list(self._store, prefix):
                for meta in page:
                    yield ObjectInfo(meta["path"], meta["size"], meta["last_modified"])

    async def folders(self, prefix: str = "") -> builtins.list[str]:
        """The names of the folders right below `prefix`: one request for every thousand of them and their files."""
        with _translated(self.uri(prefix)):
            found = await _to_the_end(obstore.list_with_delimiter_async(self._store, prefix or None))
        return sorted(path.removeprefix(prefix).strip("/") for path in found["common_prefixes"])

    async def delete(self, key: str) -> None:
        """Idempotent: an object that is not there is deleted."""
        try:
            with _translated(self.uri(key)):
                await _to_the_end(obstore.delete_async(self._store, key))
        except FileNotFoundError:
            return

    async def _download(self, key: str, target: Path, *, size: int, sha256: str) -> None:
        digest, length = hashlib.sha256(), 0
        with _translated(self.uri(key)):
            result = await _to_the_end(obstore.get_async(self._store, key))
            with target.open("wb") as file:
                async for chunk in result.stream(min_chunk_size=2**20):
                    digest.update(chunk)
                    length += len(chunk)
                    file.write(chunk)
        if length != size:
            raise ChecksumError(self.uri(key), f"{length} bytes, its manifest gives {size}")
        if digest.hexdigest() != sha256:
            raise ChecksumError(self.uri(key), "its SHA-256 is not the one in its manifest")


def open_s3(settings: ObjectStoreSettings, bucket: str) -> ObjectStore:
    """The bucket, with the settings' credentials or else by the standard chain. Does not connect.

    Raises `ConfigurationError` for an `AWS_ENDPOINT_URL_S3` or the like that is not an address.
    """
    endpoint = settings.s3_endpoint_url
    if endpoint is None:
        _check_environment()
    config: S3Config = {"checksum_algorithm": "sha256"}
    if endpoint is not None:
        # This spelling wins over an AWS_ENDPOINT_URL_S3 in the environment; plain "endpoint" does not.
        config["aws_endpoint_url_s3"] = endpoint
        config["virtual_hosted_style_request"] = False
    if (keys := settings.s3_keys()) is not None:
        config["access_key_id"], config["secret_access_key"] = keys
    store = S3Store(
        bucket,
        config=config,
        client_options={
            "allow_http": endpoint is not None and endpoint.startswith("http://"),
            "connect_timeout": CONNECT_TIMEOUT,
            "timeout": CALL_TIMEOUT,
        },
        retry_config={
            "max_retries": 3,
            "retry_timeout": timedelta(seconds=20),
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=2),
                "base": 2,
            },
        },
    )
    return ObjectStore(store, "s3", bucket)


def _check_environment() -> None:
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"):
        if url := os.environ.get(name):
            try:
                check_endpoint(url)
            except ValueError as error:
                raise ConfigurationError(f"{name}: {error}") from error


def open_folder(folder: Path) -> ObjectStore:
    return ObjectStore(LocalStore(folder, mkdir=True), "file", folder.name)


def open_memory(name: str = "memory") -> ObjectStore:
    return ObjectStore(MemoryStore(), "memory", name)


async def _to_the_end(call: Awaitable[_T]) -> _T:
    """Awaits a call of obstore even if this task is cancelled meanwhile, then passes the cancellation on."""
    task = asyncio.ensure_future(call)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()
        raise


@contextmanager
def _translated(uri: str) -> Iterator[None]:
    try:
        yield
    except AlreadyExistsError as error:
        raise FileExistsError(uri) from error
    except (FileNotFoundError, NotFoundError) as error:
        if is_bucket_missing(error):
            raise _unavailable(uri, error) from error
        raise FileNotFoundError(uri) from error
    except (BaseError, OSError) as error:
        raise _unavailable(uri, error) from error


def _unavailable(uri: str, error: Exception) -> StorageUnavailableError:
    bucket = uri.partition("://")[2].partition("/")[0]
    return StorageUnavailableError(f"{uri}: {error_text(error, bucket)}"[:500])
