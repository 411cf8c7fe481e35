"""What is asked of a token endpoint, and what each of its answers means. No error holds a secret."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import SecretStr

from shared.bus import token_endpoint
from shared.bus.token_endpoint import MAX_BODY_BYTES, UNKNOWN_LIFETIME_S, TokenEndpoint
from shared.bus.tokens import Token, TokenEndpointAwayError, TokenRefusedError
from tests.support.certificates import make_certificates

SECRET = "s3cret:/+ %"  # noqa: S105 - of these tests
TOKEN = "abc.def-123~_/+=="  # noqa: S105 - as above

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    def __init__(self) -> None:
        self.answer: Answer = granting(access_token=TOKEN, expires_in=300)
        self.url = ""
        self.requests: list[tuple[web.Request, dict[str, object]]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request, dict(await request.post())))
        return await self.answer(request)

    async def ask(self, scope: str | None = None) -> Token:
        return await TokenEndpoint(f"{self.url}?key=hidden", "loader", SecretStr(SECRET), scope).ask()


def granting(**fields: object) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(fields)

    return answer


def answering(status: int, text: str = "", **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text, headers=headers)

    return answer


async def open_server(server: Server, tls: ssl.SSLContext | None = None) -> web.AppRunner:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    scheme = "https" if tls else "http"
    server.url = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}/token"
    return runner


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    runner = await open_server(server)
    yield server
    await runner.cleanup()


async def test_the_client_is_named_in_the_header_as_the_standard_writes_it(server: Server) -> None:
    assert await server.ask() == Token(TOKEN, 300.0)
    [(request, form)] = server.requests
    assert request.method == "POST"
    assert form == {"grant_type": "client_credentials"}
    credentials = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
    assert credentials == "loader:s3cret%3A%2F%2B+%25"


async def test_a_scope_is_asked_for_where_one_is_set(server: Server) -> None:
    await server.ask("kafka:use other")

    assert server.requests[0][1] == {"grant_type": "client_credentials", "scope": "kafka:use other"}


@pytest.mark.parametrize(
    ("expires_in", "lifetime_s"),
    [
        (3599, 3599.0),
        ("3599", 3599.0),
        (1.5, 1.5),
        (-1, 0.0),
        (10**9, 86_400.0),
        (None, UNKNOWN_LIFETIME_S),
        ("soon", UNKNOWN_LIFETIME_S),
        ("nan", UNKNOWN_LIFETIME_S),
        ("1e999", UNKNOWN_LIFETIME_S),
        ([], UNKNOWN_LIFETIME_S),
    ],
)
async def test_how_long_a_token_serves(server: Server, expires_in: object, lifetime_s: float) -> None:
    server.answer = granting(access_token=TOKEN, expires_in=expires_in)

    assert (await server.ask()).lifetime_s == lifetime_s


CREDENTIALS = "ONPOINT_KAFKA_SASL_USERNAME and ONPOINT_KAFKA_SASL_PASSWORD"


@pytest.mark.parametrize(
    ("status", "text", "sentence"),
    [
        (401, '{"error": "invalid_client"}', f"with 401 (invalid_client): check {CREDENTIALS}"),
        (400, '{"error": "invalid_client"}', f"with 400 (invalid_client): check {CREDENTIALS}"),
        (400, '{"error": "invalid_scope"}', "with 400 (invalid_scope): check ONPOINT_KAFKA_OAUTH_SCOPE"),
        (401, "", f"with 401: check {CREDENTIALS}"),
        (401, f'{{"error": "{SECRET}", "error_description": "{SECRET}"}}', f"with 401: check {CREDENTIALS}"),
        (400, '{"error": ["invalid_client"]}', f"with 400: check {CREDENTIALS}"),
        (400, '["invalid_client"]', f"with 400: check {CREDENTIALS}"),
    ],
)
async def test_a_refusal_names_the_client_and_what_to_check(
    server: Server, status: int, text: str, sentence: str
) -> None:
    server.answer = answering(status, text)

    assert await refusal(server) == f"The token endpoint {server.url} refuses the client 'loader' {sentence}"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (answering(404), "it answers 404"),
        (answering(403, SECRET), "it answers 403"),
        (answering(204), "it answers 204"),
        (answering(200, "<html>"), "its answer holds no bearer token"),
        (answering(200, f'{{"access_token": "{TOKEN}"'), "its answer holds no bearer token"),
        (granting(expires_in=300), "its answer holds no bearer token"),
        (granting(access_token=7), "its answer holds no bearer token"),
        (granting(access_token=f"hidden\x01auth={TOKEN}"), "its answer holds no bearer token"),
        (granting(access_token=""), "its answer holds no bearer token"),
        (granting(access_token="a" * MAX_BODY_BYTES), "its answer has more than 65,536 bytes"),
        (answering(200, "no gzip", **{"Content-Encoding": "gzip"}), "its answer holds no bearer token"),
    ],
)
async def test_an_answer_without_a_token_is_told_in_one_sentence(
    server: Server, answer: Answer, why: str
) -> None:
    server.answer = answer

    said = await refusal(server)
    assert said == f"The token endpoint {server.url} gives no token: {why} (ONPOINT_KAFKA_OAUTH_TOKEN_URL)"


async def test_an_endless_answer_is_given_up(server: Server) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 4096)

    server.answer = endless
    assert "its answer has more than 65,536 bytes" in await refusal(server)


async def test_the_secret_follows_no_redirect(server: Server) -> None:
    server.answer = answering(307, Location=f"{server.url}/elsewhere")

    assert "gives no token: it answers 307" in await refusal(server)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
async def test_a_server_that_cannot_now_is_away(server: Server, status: int) -> None:
    server.answer = answering(status, SECRET)
    with pytest.raises(TokenEndpointAwayError) as caught:
        await server.ask()

    assert str(caught.value) == f"the token endpoint {server.url} answers {status}"


async def test_a_server_that_does_not_answer_in_time_is_away(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    server.answer = silent
    monkeypatch.setattr(token_endpoint, "TIMEOUT_S", 0.2)
    with pytest.raises(TokenEndpointAwayError, match=r"did not answer within 0 s$"):
        await server.ask()


async def test_a_server_that_is_down_is_away() -> None:
    endpoint = TokenEndpoint("http://127.0.0.1:1/token", "loader", SecretStr(SECRET), None)
    with pytest.raises(
        TokenEndpointAwayError, match=r"^the token endpoint http://127\.0\.0\.1:1/token does not"
    ):
        await endpoint.ask()


async def test_a_certificate_that_does_not_pass_is_a_refusal(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path / "certificates", "127.0.0.1")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificates.keystore)
    server = Server()
    runner = await open_server(server, tls)
    try:
        assert "gives no token: TLS with it fails: " in await refusal(server)
    finally:
        await runner.cleanup()
    assert server.requests == []


async def test_the_certificates_of_the_system_may_be_named_by_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates = make_certificates(tmp_path / "certificates", "127.0.0.1")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificates.keystore)
    server = Server()
    runner = await open_server(server, tls)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    try:
        assert (await server.ask()).value == TOKEN
    finally:
        await runner.cleanup()


async def refusal(server: Server) -> str:
    with pytest.raises(TokenRefusedError) as caught:
        await server.ask()
    said = str(caught.value)
    assert SECRET not in said
    assert "hidden" not in said
    return said
