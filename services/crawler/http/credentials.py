"""The credentials of requests: read or had anew before each try, never kept anywhere but in memory."""

import asyncio
import base64
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
from yarl import URL

from services.crawler.domain.fetching import FetchError, is_retried
from services.crawler.domain.http_errors import http_error_text
from services.crawler.domain.requests.lookup import NOT_READABLE, find_value
from services.crawler.domain.requests.rendering import (
    NoValueError,
    RenderedRequest,
    fill,
    fill_text,
    query_text,
    render,
)
from services.crawler.http.transport import HttpRequest, HttpTransport, Response
from shared.datasets.sources.api import RequestSource
from shared.datasets.sources.auth import ApiKeyAuth, BasicAuth, BearerAuth, LoginAuth, OAuth2Auth, Send
from shared.datasets.sources.durations import seconds_of
from shared.datasets.sources.secret_names import Secret
from shared.datasets.sources.secret_values import SecretError, SecretValues

DEFAULT_LIFE_S = 3600.0
EARLY_SHARE = 0.1
MOST_EARLY_S = 30.0
"""Tokens are renewed so long before their end."""

MAX_TOKENS = 1000
ACCEPTED = 300


@dataclass(slots=True)
class Credential:
    """What a request is given."""

    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    """Those that can be had anew, by the options that gave them."""

    def put(self, send: Send, token: str) -> None:
        target = {"header": self.headers, "query": self.query, "cookie": self.cookies}[send.place]
        value = fill_text(send.value, {"token": token})
        if "\n" in value or "\r" in value:
            raise FetchError("the credential holds a line end", outcome="auth", retryable=False)
        target[send.name] = value


@dataclass(frozen=True, slots=True)
class _Token:
    value: str
    renew_at_s: float


class Credentials:
    """Tokens are kept by source and options, and renewed once for all requests that wait for one."""

    def __init__(self, transport: HttpTransport, secrets: SecretValues) -> None:
        self._transport = transport
        self._secrets = secrets
        self._tokens: dict[str, _Token] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    def secrets_of(self, source: RequestSource) -> dict[str, str]:
        """By the names that placeholders give them. Raises `FetchError`."""
        return {name: self._read(secret) for name, secret in source.secrets.items()}

    def hide(self, text: str) -> str:
        return self._secrets.hide(text)

    async def of(self, source: RequestSource, params: Mapping[str, Any], folder: Path) -> Credential:
        """Raises `FetchError` where a secret is not there, or the source gives no token."""
        made = Credential()
        for auth in source.auth:
            match auth:
                case BasicAuth():
                    pair = f"{self._text(auth.username, params)}:{self._text(auth.password, params)}"
                    self._secrets.remember(encoded := base64.b64encode(pair.encode()).decode())
                    made.headers["Authorization"] = f"Basic {encoded}"
                case BearerAuth():
                    made.put(Send(), self._read(auth.token))
                case ApiKeyAuth():
                    made.put(auth.send, self._read(auth.key))
                case OAuth2Auth() | LoginAuth():
                    token = await self._token(source, auth, params, folder)
                    made.tokens[_key(source, auth, params)] = token
                    made.put(auth.send, token)
        return made

    def forget(self, refused: Credential) -> bool:
        """The tokens that a source refused, unless they are renewed already. False: none can be had anew."""
        for key, value in refused.tokens.items():
            known = self._tokens.get(key)
            if known is not None and known.value == value:
                del self._tokens[key]
        return bool(refused.tokens)

    def _read(self, secret: Secret) -> str:
        try:
            return self._secrets.read(secret)
        except SecretError as error:
            raise FetchError(f"no credentials: {error}", outcome="auth", retryable=False) from error

    def _text(self, value: Secret | str | None, params: Mapping[str, Any]) -> str:
        if isinstance(value, Secret):
            return self._read(value)
        return "" if value is None else fill_text(value, params)

    async def _token(
        self, source: RequestSource, auth: OAuth2Auth | LoginAuth, params: Mapping[str, Any], folder: Path
    ) -> str:
        key = _key(source, auth, params)
        async with self._locks.setdefault(key, asyncio.Lock()):
            known = self._tokens.get(key)
            if known is not None and time.monotonic() < known.renew_at_s:
                return known.value
            asked_s = time.monotonic()
            try:
                made = await (
                    self._grant(auth, params, folder)
                    if isinstance(auth, OAuth2Auth)
                    else self._login(source, auth, params, folder)
                )
            except NoValueError as error:
                raise FetchError(f"no token: {error}", outcome="auth", retryable=False) from error
            value, life_s = made
            self._secrets.remember(value)
            renew_s = asked_s + life_s - min(MOST_EARLY_S, EARLY_SHARE * life_s)
            if len(self._tokens) >= MAX_TOKENS:
                self._tokens.clear()
            self._tokens[key] = _Token(value, renew_s)
            return value

    async def _grant(self, auth: OAuth2Auth, params: Mapping[str, Any], folder: Path) -> tuple[str, float]:
        fields: dict[str, Any] = {"grant_type": auth.grant}
        for name in ("refresh_token", "username", "password"):
            if getattr(auth, name) is not None:
                fields[name] = self._text(getattr(auth, name), params)
        if auth.scopes:
            fields["scope"] = " ".join(auth.scopes)
        fields |= fill(auth.params, params)
        client = {
            name: self._text(getattr(auth, name), params)
            for name in ("client_id", "client_secret")
            if getattr(auth, name) is not None
        }
        headers = {name: fill_text(text, params) for name, text in auth.headers.items()}
        headers.setdefault("Accept", "application/json")
        url = fill_text(auth.token_url, params)
        if auth.client_in == "basic":
            pair = ":".join(URL.build(query={"x": part}).raw_query_string[2:] for part in client.values())
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        elif auth.client_in == "query":
            url = str(URL(url).update_query(client))
        else:
            fields |= client
        if auth.client_in == "json":
            body, kind = msgspec.json.encode(fields), "application/json"
        else:
            body, kind = query_text(_literal(fields), {}).encode(), "application/x-www-form-urlencoded"
        headers["Content-Type"] = kind
        private = frozenset(name.lower() for name in headers) - {"content-type", "accept"}
        answer = await self._ask(HttpRequest(url, "POST", headers, body, private | {"authorization"}), folder)
        try:
            value = find_value(answer.body.read(), auth.token)
            life = find_value(answer.body.read(), auth.expires_in)
        except NOT_READABLE:
            value = life = None
        finally:
            answer.body.close()
        return _usable(value, auth.token), _life_s(life, auth.lifetime)

    async def _login(
        self, source: RequestSource, auth: LoginAuth, params: Mapping[str, Any], folder: Path
    ) -> tuple[str, float]:
        bare = source.model_copy(update={"headers": {}})
        rendered = render(bare, auth.request, params, self.secrets_of(source))
        answer = await self._ask(as_http(rendered, Credential()), folder)
        try:
            if auth.token_header is not None:
                value: Any = (answer.headers.get(auth.token_header.lower()) or (None,))[0]
            elif auth.token_cookie is not None:
                value = _cookie(answer.headers.get("set-cookie", ()), auth.token_cookie)
            else:
                value = find_value(answer.body.read(), auth.token or "")
        except NOT_READABLE:
            value = None
        finally:
            answer.body.close()
        where = auth.token_header or auth.token_cookie or auth.token or ""
        return _usable(value, where), _life_s(None, auth.lifetime)

    async def _ask(self, request: HttpRequest, folder: Path) -> Response:
        try:
            answer = await self._transport.send(request, folder)
        except FetchError as error:
            raise FetchError(
                self.hide(f"no token: {error}"), outcome="auth", retryable=error.retryable
            ) from None
        if answer.status >= ACCEPTED:
            text = http_error_text(answer.status, answer.body.read())
            answer.body.close()
            raise FetchError(
                self.hide(f"no token: {text}"),
                outcome="auth",
                retryable=is_retried(answer.status),
                status=answer.status,
            )
        return answer


def as_http(request: RenderedRequest, credential: Credential) -> HttpRequest:
    """What is sent: the request with its credentials."""
    headers = dict(request.headers) | credential.headers
    if credential.cookies:
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in credential.cookies.items())
    url = str(URL(request.url).update_query(credential.query)) if credential.query else request.url
    private = request.private | {name.lower() for name in credential.headers} | {"cookie", "authorization"}
    return HttpRequest(url, request.method, headers, request.body, private, request.shown_url)


def without_credentials(request: HttpRequest) -> HttpRequest:
    """For a host that is not the source's own."""
    kept = {name: value for name, value in request.headers.items() if name.lower() not in request.private}
    return replace(request, headers=kept)


def _key(source: RequestSource, auth: OAuth2Auth | LoginAuth, params: Mapping[str, Any]) -> str:
    text = f"{source.name} {source.base_url} {auth.model_dump_json()} {sorted(params.items(), key=str)}"
    return hashlib.sha256(text.encode()).hexdigest()


def _literal(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Braces in values are braces: they are no placeholders."""
    return {
        name: value.replace("{", "{{").replace("}", "}}") if isinstance(value, str) else value
        for name, value in fields.items()
    }


def _usable(value: Any, where: str) -> str:
    if not isinstance(value, str | int) or isinstance(value, bool) or not str(value):
        raise FetchError(f"no token: the answer has none at {where}", outcome="auth", retryable=False)
    return str(value)


def _life_s(told: Any, lifetime: str | None) -> float:
    try:
        life_s = float(told) if told is not None else 0.0
    except (TypeError, ValueError):
        life_s = 0.0
    if life_s > 0:
        return life_s
    return seconds_of(lifetime) if lifetime is not None else DEFAULT_LIFE_S


def _cookie(headers: tuple[str, ...], name: str) -> str | None:
    for header in headers:
        key, _, rest = header.partition("=")
        if key.strip() == name:
            return rest.partition(";")[0].strip()
    return None
