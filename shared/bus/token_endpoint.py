"""Asks an OAuth 2.0 server for an access token, by the client-credentials grant (RFC 6749, section 4.4)."""

import base64
import math
import re
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote_plus, urlsplit

import aiohttp
import orjson
from pydantic import SecretStr

from shared.bus.tokens import Token, TokenEndpointAwayError, TokenRefusedError
from shared.settings.variables import variable_of

TIMEOUT_S = 10.0
"""Of one request, its connection and its answer included."""

MAX_BODY_BYTES = 65_536

UNKNOWN_LIFETIME_S = 60.0
"""Of a token whose server does not tell when it expires."""

MAX_LIFETIME_S = 86_400.0

NOT_NOW = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
"""Statuses below 500 that are no refusal."""

CREDENTIALS = ("kafka_sasl_username", "kafka_sasl_password")

SETTINGS_OF_ERROR = {
    "invalid_client": CREDENTIALS,
    "unauthorized_client": CREDENTIALS,
    "invalid_grant": CREDENTIALS,
    "invalid_scope": ("kafka_oauth_scope",),
    "invalid_request": ("kafka_oauth_token_url", "kafka_oauth_scope"),
    "unsupported_grant_type": ("kafka_oauth_token_url",),
}
"""The errors of RFC 6749, section 5.2. No other word of the answer is shown: it might repeat the secret."""

_BEARER = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
"""RFC 6750, section 2.1."""


class TokenEndpoint:
    """Sends the secret to this address and to no other: it follows no redirect."""

    def __init__(self, url: str, client_id: str, secret: SecretStr, scope: str | None) -> None:
        self._url = url
        self._client_id = client_id
        self._secret = secret
        self._form = {"grant_type": "client_credentials", **({"scope": scope} if scope else {})}
        self._tls = ssl.create_default_context()
        parts = urlsplit(url)
        self._name = f"token endpoint {parts.scheme}://{parts.netloc}{parts.path}"

    async def ask(self) -> Token:
        """A new token. Raises `TokenRefusedError`, `TokenEndpointAwayError`; neither holds a secret."""
        try:
            status, body = await self._post()
        except aiohttp.ClientSSLError as error:
            raise TokenRefusedError(self._refused_tls(error)) from None
        except TimeoutError:
            raise TokenEndpointAwayError(
                f"the {self._name} did not answer within {TIMEOUT_S:.0f} s"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            raise TokenEndpointAwayError(f"the {self._name} does not answer: {why}") from None
        if status in NOT_NOW or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise TokenEndpointAwayError(f"the {self._name} answers {status}")
        answer = _object(body)
        if status != HTTPStatus.OK:
            raise TokenRefusedError(self._refused(status, answer.get("error")))
        return self._token(answer)

    async def _post(self) -> tuple[int, bytes]:
        headers = {
            "Authorization": f"Basic {self._credentials()}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
        async with (
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), auto_decompress=False
            ) as session,
            session.post(
                self._url, data=self._form, headers=headers, allow_redirects=False, ssl=self._tls
            ) as response,
        ):
            return response.status, await self._body(response)

    def _credentials(self) -> str:
        """As RFC 6749, section 2.3.1, writes them."""
        pair = f"{quote_plus(self._client_id)}:{quote_plus(self._secret.get_secret_value())}"
        return base64.b64encode(pair.encode()).decode()

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise TokenRefusedError(self._odd(f"its answer has more than {MAX_BODY_BYTES:,} bytes"))
        return bytes(body)

    def _token(self, answer: Mapping[str, Any]) -> Token:
        value = answer.get("access_token")
        if not isinstance(value, str) or not _BEARER.fullmatch(value):
            raise TokenRefusedError(self._odd("its answer holds no bearer token"))
        return Token(value, _lifetime_s(answer.get("expires_in")))

    def _refused(self, status: int, error: object) -> str:
        """One sentence for each status and error."""
        if status not in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED}:
            return self._odd(f"it answers {status}")
        known = isinstance(error, str) and error in SETTINGS_OF_ERROR
        word = f" ({error})" if known else ""
        names = " and ".join(
            variable_of(name) for name in (SETTINGS_OF_ERROR[str(error)] if known else CREDENTIALS)
        )
        return f"The {self._name} refuses the client {self._client_id!r} with {status}{word}: check {names}"

    def _refused_tls(self, error: aiohttp.ClientSSLError) -> str:
        cause = error.__cause__
        why = getattr(cause, "verify_message", None) or getattr(cause, "reason", None) or type(error).__name__
        return self._odd(f"TLS with it fails: {why}")

    def _odd(self, what: str) -> str:
        return f"The {self._name} gives no token: {what} ({variable_of('kafka_oauth_token_url')})"


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _lifetime_s(expires_in: object) -> float:
    """Some servers write the number as text."""
    if not isinstance(expires_in, int | float | str):
        return UNKNOWN_LIFETIME_S
    try:
        found = float(expires_in)
    except (ValueError, OverflowError):
        return UNKNOWN_LIFETIME_S
    return min(max(found, 0.0), MAX_LIFETIME_S) if math.isfinite(found) else UNKNOWN_LIFETIME_S
