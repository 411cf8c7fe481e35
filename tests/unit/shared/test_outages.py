"""What an object store did instead of answering, in a sentence: on a server that answers what it is told to."""

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from shared.errors import ConfigurationError
from shared.settings.object_store import ObjectStoreSettings
from shared.storage.errors import StorageUnavailableError
from shared.storage.object_store import ObjectStore, open_s3

REFUSED = "refused the credentials"
SETTINGS = "see ONPOINT_S3_CREDENTIALS, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"


class Server(ThreadingHTTPServer):
    status = 200
    body = b""

    def answer(self, status: int, code: str = "") -> None:
        self.status = status
        self.body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode() if code else b""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(self.server.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(self.server.body)

    do_GET = do_HEAD = do_PUT = answer  # noqa: N815 - names of the standard library

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def store_at(port: int) -> ObjectStore:
    settings = ObjectStoreSettings(
        s3_endpoint_url=f"http://127.0.0.1:{port}",
        staging_bucket="staging",
        lake_bucket="lake",
        s3_credentials="id:secret",
    )
    return open_s3(settings, "staging")


def messages_of(store: ObjectStore) -> set[str]:
    """The error messages of one request of each kind."""
    found = set()

    async def ask() -> None:
        for call in (store.head("k"), store.create("k", b"1"), store.get("k"), store.folders()):
            try:
                await call
            except StorageUnavailableError as error:
                found.add(str(error))

    asyncio.run(ask())
    return found


def test_a_server_that_is_not_there() -> None:
    for message in messages_of(store_at(9)):
        assert message.startswith("s3://staging/")
        assert message.endswith(": the object store does not answer at http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("status", "code"), [(403, "InvalidAccessKeyId"), (403, "SignatureDoesNotMatch"), (401, "")]
)
def test_refused_credentials_are_reported_with_their_settings(server: Server, status: int, code: str) -> None:
    server.answer(status, code)
    found = messages_of(store_at(server.server_port))

    assert all(REFUSED in message and message.endswith(SETTINGS) for message in found)
    assert not code or any(code in message for message in found)


def test_a_bucket_that_is_not_there_is_not_a_missing_object(server: Server) -> None:
    server.answer(404, "NoSuchBucket")

    assert all("has no bucket staging" in message for message in messages_of(store_at(server.server_port)))


def test_a_server_that_fails(server: Server) -> None:
    server.answer(500, "InternalError")
    found = messages_of(store_at(server.server_port))

    assert any(message.endswith("answered 500 Internal Server Error, InternalError") for message in found)


@pytest.mark.parametrize("status", [301, 400, 403, 500])
def test_nothing_of_the_driver_gets_out(server: Server, status: int) -> None:
    server.answer(status, "SomeCode")

    for message in messages_of(store_at(server.server_port)):
        assert "\n" not in message
        assert "Debug" not in message
        assert "retry" not in message


def test_an_endpoint_of_the_environment_is_looked_at_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "127.0.0.1:9")
    with pytest.raises(ConfigurationError, match=r"^AWS_ENDPOINT_URL_S3: must begin with http://"):
        open_s3(ObjectStoreSettings(staging_bucket="staging", lake_bucket="lake"), "staging")
