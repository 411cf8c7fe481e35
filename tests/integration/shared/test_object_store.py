"""One suite for every store: S3 over HTTP, a folder, memory."""

import asyncio
import hashlib
import uuid
from pathlib import Path

import pytest

from shared.errors import PermanentError
from shared.settings.object_store import ObjectStoreSettings
from shared.storage.errors import ChecksumError, ObjectMissingError, StorageUnavailableError
from shared.storage.object_store import ObjectStore, open_folder, open_memory, open_s3


@pytest.fixture(params=["memory", "folder", pytest.param("s3", marks=pytest.mark.integration)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "memory":
        return open_memory()
    if request.param == "folder":
        return open_folder(tmp_path / "store")
    environment: dict[str, str] = request.getfixturevalue("s3_environment")
    settings = ObjectStoreSettings(
        s3_endpoint_url=environment["ONPOINT_S3_ENDPOINT_URL"],
        staging_bucket=environment["ONPOINT_STAGING_BUCKET"],
        lake_bucket=environment["ONPOINT_LAKE_BUCKET"],
    )
    return open_s3(settings, settings.staging_bucket)


@pytest.fixture
def prefix() -> str:
    return f"test-{uuid.uuid4().hex}/"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def test_what_is_put_is_got(store: ObjectStore, prefix: str) -> None:
    await store.put(prefix + "a", b"one")
    assert await store.get(prefix + "a") == b"one"
    await store.put(prefix + "a", b"two")
    assert await store.get(prefix + "a") == b"two"


async def test_only_the_first_creates(store: ObjectStore, prefix: str) -> None:
    assert await store.create(prefix + "a", b"first")
    assert not await store.create(prefix + "a", b"second")
    assert await store.get(prefix + "a") == b"first"


async def test_of_many_writers_at_once_exactly_one_creates(store: ObjectStore, prefix: str) -> None:
    won = await asyncio.gather(*(store.create(prefix + "a", b"%d" % n) for n in range(4)))
    assert sum(won) == 1
    assert await store.get(prefix + "a") == b"%d" % won.index(True)


async def test_what_is_not_there_is_none(store: ObjectStore, prefix: str) -> None:
    assert await store.get(prefix + "a") is None
    assert await store.head(prefix + "a") is None


async def test_deleting_is_idempotent(store: ObjectStore, prefix: str) -> None:
    await store.put(prefix + "a", b"one")
    await store.delete(prefix + "a")
    await store.delete(prefix + "a")
    assert await store.get(prefix + "a") is None


async def test_a_listing_has_what_is_below_the_prefix(store: ObjectStore, prefix: str) -> None:
    for name in ("x/1", "x/2", "y/1"):
        await store.put(prefix + name, name.encode())
    found = {info.key: info.bytes async for info in store.list(prefix + "x/")}
    assert found == {prefix + "x/1": 3, prefix + "x/2": 3}


async def test_a_copy_is_an_object_of_its_own(store: ObjectStore, prefix: str) -> None:
    await store.put(prefix + "a", b"one")
    await store.put(prefix + "b", b"before")
    for _ in range(2):
        await store.copy(prefix + "a", prefix + "b")
    await store.delete(prefix + "a")
    assert await store.get(prefix + "b") == b"one"


async def test_what_is_not_there_cannot_be_copied(store: ObjectStore, prefix: str) -> None:
    with pytest.raises(ObjectMissingError):
        await store.copy(prefix + "a", prefix + "b")
    assert await store.get(prefix + "b") is None


@pytest.mark.parametrize("size", [1, 3 * 2**20, 20 * 2**20])
async def test_a_file_of_any_size_arrives_checked(
    store: ObjectStore, prefix: str, tmp_path: Path, size: int
) -> None:
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(data)
    await store.put(prefix + "a", source)
    await store.download(prefix + "a", target, size=size, sha256=digest(data))
    assert target.read_bytes() == data


async def test_an_object_that_was_changed_is_noticed(store: ObjectStore, prefix: str, tmp_path: Path) -> None:
    await store.put(prefix + "a", b"data")
    with pytest.raises(ChecksumError):
        await store.download(prefix + "a", tmp_path / "t", size=4, sha256=digest(b"date"))
    with pytest.raises(ChecksumError):
        await store.download(prefix + "a", tmp_path / "t", size=5, sha256=digest(b"data"))


async def test_an_object_that_is_gone_is_missing(store: ObjectStore, prefix: str, tmp_path: Path) -> None:
    with pytest.raises(ObjectMissingError):
        await store.download(prefix + "a", tmp_path / "t", size=4, sha256=digest(b"data"))


async def test_a_key_comes_back_from_its_uri(store: ObjectStore) -> None:
    assert store.key(store.uri("runs/r/posts/x"), "runs/r/posts/") == "runs/r/posts/x"


@pytest.mark.parametrize(
    "uri",
    [
        "s3://another-bucket/runs/r/posts/x",
        "file:///etc/passwd",
        "http://127.0.0.1/x",
        "runs/r/posts/x",
        "",
    ],
)
async def test_a_uri_of_elsewhere_is_refused(store: ObjectStore, uri: str) -> None:
    with pytest.raises(PermanentError):
        store.key(uri, "runs/r/posts/")


async def test_a_uri_outside_its_prefix_is_refused(store: ObjectStore) -> None:
    for key in ("runs/other/posts/x", "runs/r/posts/../../x/y", "request.json"):
        with pytest.raises(PermanentError):
            store.key(store.uri(key), "runs/r/posts/")


@pytest.mark.integration
async def test_a_server_that_is_away_is_an_outage(s3_environment: dict[str, str]) -> None:
    settings = ObjectStoreSettings(
        s3_endpoint_url="http://127.0.0.1:9",
        staging_bucket=s3_environment["ONPOINT_STAGING_BUCKET"],
        lake_bucket="lake",
    )
    with pytest.raises(StorageUnavailableError):
        await open_s3(settings, "onpoint-staging").get("a")


async def test_parts_of_an_object_come_in_the_order_asked_for(store: ObjectStore, prefix: str) -> None:
    data = bytes(range(256)) * 1024
    await store.put(prefix + "a", data)
    ranges = [(200_000, 200_003), (0, 4), (3, 10)]
    assert await store.read_ranges(prefix + "a", ranges) == [data[start:end] for start, end in ranges]
    assert await store.read_ranges(prefix + "a", []) == []


async def test_parts_of_what_is_not_there_are_missing(store: ObjectStore, prefix: str) -> None:
    with pytest.raises(ObjectMissingError):
        await store.read_ranges(prefix + "a", [(0, 4)])
