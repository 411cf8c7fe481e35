"""Access tokens as an authorization server makes them: its key, its signature, and its token endpoint on loopback."""

import base64
import json
import math
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from deploy.local.ports import HOST

ISSUER = "https://tokens.example.org"
AUDIENCE = "kafka"
KEY_ID = "first"


class Issuer:
    """Signs tokens with a key of its own (RS256), made with openssl."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._key = folder / "issuer.key"
        self.jwks = folder / "jwks.json"
        """The file by which a broker checks the signatures."""
        _openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(self._key))
        modulus = _openssl("rsa", "-in", str(self._key), "-noout", "-modulus").decode().strip().partition("=")
        key = {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": KEY_ID,
            "n": _base64(bytes.fromhex(modulus[2])),
            "e": "AQAB",
        }
        self.jwks.write_text(json.dumps({"keys": [key]}))

    def token(self, client: str, lifetime_s: float, audience: str = AUDIENCE) -> str:
        now_s = time.time()
        header = {"alg": "RS256", "typ": "JWT", "kid": KEY_ID}
        claims = {
            "iss": ISSUER,
            "aud": audience,
            "sub": client,
            "iat": math.floor(now_s),
            "exp": math.ceil(now_s + lifetime_s),
        }
        signed = f"{_part(header)}.{_part(claims)}"
        signature = _openssl("dgst", "-sha256", "-sign", str(self._key), given=signed.encode())
        return f"{signed}.{_base64(signature)}"


class TokenServer:
    """Gives each client that knows its secret a token; a context manager. A test sets what differs from that."""

    def __init__(self, issuer: Issuer, secrets: dict[str, str]) -> None:
        self._issuer = issuer
        self._secrets = secrets
        self._runner: web.AppRunner | None = None
        self.url = ""
        self.lifetime_s = 300
        self.audience = AUDIENCE
        self.status = 200
        self.asked: list[dict[str, str]] = []
        """The form of each request."""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/token", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/token"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def as_usual(self) -> None:
        self.lifetime_s, self.audience, self.status = 300, AUDIENCE, 200
        self.asked.clear()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append({name: str(value) for name, value in (await request.post()).items()})
        if self.status != 200:
            return web.Response(status=self.status)
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        client, _, secret = base64.b64decode(credentials).decode().partition(":")
        if scheme != "Basic" or self._secrets.get(client) != secret:
            return web.json_response({"error": "invalid_client"}, status=401)
        token = self._issuer.token(client, self.lifetime_s, self.audience)
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": self.lifetime_s}
        return web.json_response(answer)


def _part(value: Mapping[str, object]) -> str:
    return _base64(json.dumps(value).encode())


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _openssl(*arguments: str, given: bytes = b"") -> bytes:
    return subprocess.run(("openssl", *arguments), input=given, check=True, capture_output=True).stdout
