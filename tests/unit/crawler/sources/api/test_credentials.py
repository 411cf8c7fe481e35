"""Every kind of credential against a server that asks for it; renewed, revoked, and never told to another host."""

import base64
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from tests.support.api_datasets import TOKEN, api_dataset
from tests.support.api_server import ApiServer, Asked, refused
from tests.support.crawler import Crawler, crawler_of

VARIABLES = {"SHOP_TOKEN": TOKEN, "SHOP_USER": "ann", "SHOP_ID": "client-1", "SHOP_SECRET": "client-secret-1"}
KEY = {"env": "SHOP_TOKEN"}


async def crawl(api: ApiServer, folders: tuple[Path, ...] = (), **source: Any) -> Crawler:
    datasets = {"things": api_dataset(api.url, **source)}
    async with crawler_of(
        api.url, allow=api.allow, datasets=datasets, variables=VARIABLES, secret_folders=folders
    ) as crawler:
        await crawler.run({"datasets": ["things"]})
        return crawler


def accepts(is_right: Any) -> Any:
    return lambda asked: [{"id": 1}] if is_right(asked) else refused(401, "not you")


@pytest.mark.parametrize(
    ("auth", "is_right"),
    [
        (
            {"kind": "basic", "username": {"env": "SHOP_USER"}, "password": KEY},
            lambda asked: base64.b64decode(asked.headers["Authorization"][6:]) == f"ann:{TOKEN}".encode(),
        ),
        (
            {"kind": "basic", "username": KEY},
            lambda asked: base64.b64decode(asked.headers["Authorization"][6:]) == f"{TOKEN}:".encode(),
        ),
        ({"kind": "bearer", "token": KEY}, lambda asked: asked.headers["Authorization"] == f"Bearer {TOKEN}"),
        (
            {"kind": "api_key", "key": KEY, "send": {"name": "X-Key", "value": "{token}"}},
            lambda asked: asked.headers["X-Key"] == TOKEN,
        ),
        (
            {"kind": "api_key", "key": KEY, "send": {"in": "query", "name": "key", "value": "{token}"}},
            lambda asked: asked.query == {"key": TOKEN},
        ),
        (
            {"kind": "api_key", "key": KEY, "send": {"in": "cookie", "name": "session", "value": "{token}"}},
            lambda asked: asked.headers["Cookie"] == f"session={TOKEN}",
        ),
        (
            [
                {"kind": "bearer", "token": KEY},
                {
                    "kind": "api_key",
                    "key": {"env": "SHOP_USER"},
                    "send": {"name": "X-Account", "value": "{token}"},
                },
            ],
            lambda asked: (
                asked.headers["Authorization"] == f"Bearer {TOKEN}" and asked.headers["X-Account"] == "ann"
            ),
        ),
    ],
    ids=["basic", "basic without password", "bearer", "header", "query", "cookie", "two"],
)
async def test_the_credential_is_where_the_file_puts_it_and_nowhere_else(auth: Any, is_right: Any) -> None:
    async with ApiServer(accepts(is_right)) as api:
        crawler = await crawl(api, auth=auth)
        [batch] = crawler.batches
        assert batch.counts.read == 1
        stored = [await crawler.staging.get(info.key) async for info in crawler.staging.list("")]
        requests = await crawler.requests(batch)
    assert TOKEN not in f"{requests} {crawler.events}"
    assert all(TOKEN.encode() not in (value or b"") for value in stored)


async def test_a_secret_in_a_body_and_a_query_is_hidden_where_the_request_is_told() -> None:
    async with ApiServer(lambda _: refused(403, f"the key {TOKEN} is not known")) as api:
        crawler = await crawl(
            api,
            secrets={"key": KEY},
            request={
                "method": "POST",
                "path": "/things",
                "query": {"key": "{secret.key}"},
                "body": {"json": {"key": "{secret.key}"}},
            },
        )
        [batch] = crawler.batches
        assert api.seen[0].json == {"key": TOKEN}
        assert api.seen[0].query == {"key": TOKEN}
    assert TOKEN not in f"{crawler.events}"
    assert "the key *** is not known" in (batch.detail or "")


async def test_a_mounted_secret_that_changes_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")

    def answer(asked: Asked) -> Any:
        if asked.headers["Authorization"] == "Bearer old":
            file.write_text("new\r\n")
            return refused(503, "the token is being changed")
        return [{"id": 1}] if asked.headers["Authorization"] == "Bearer new" else refused(401, "not you")

    async with ApiServer(answer) as api:
        crawler = await crawl(api, (tmp_path,), auth={"kind": "bearer", "token": {"file": str(file)}})
    assert crawler.batches[0].counts.read == 1


async def test_a_file_outside_of_the_folders_of_secrets_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside").write_text("something else")
    (tmp_path / "inside" / "link").symlink_to(tmp_path / "outside")
    for name in ("outside", "inside/link"):
        async with ApiServer(lambda _: [{"id": 1}]) as api:
            auth = {"kind": "bearer", "token": {"file": str(tmp_path / name)}}
            crawler = await crawl(api, (tmp_path / "inside",), auth=auth)
            assert "no credentials: the file" in (crawler.batches[0].detail or "")
            assert api.seen == []


class TokenServer:
    """Gives tokens that it takes back, each good for a number of requests."""

    def __init__(self, good_for: int = 100, life_s: float = 3600) -> None:
        self.given = 0
        self.left = 0
        self.good_for = good_for
        self.life_s = life_s
        self.forms: list[dict[str, list[str]]] = []

    def __call__(self, asked: Asked) -> Any:
        if asked.path == "/token":
            self.forms.append(parse_qs(asked.body.decode()))
            self.given += 1
            self.left = self.good_for
            return {"access_token": f"access-{self.given}", "expires_in": self.life_s}
        if asked.headers.get("Authorization") != f"Bearer access-{self.given}" or self.left <= 0:
            return refused(401, "the token is not valid")
        self.left -= 1
        return [{"id": int(asked.query.get("n", 0))}]


def oauth(api: ApiServer, **more: Any) -> dict[str, Any]:
    return {
        "kind": "oauth2",
        "token_url": f"{api.url}/token",
        "client_id": {"env": "SHOP_ID"},
        "client_secret": {"env": "SHOP_SECRET"},
        **more,
    }


NUMBERS: dict[str, Any] = {
    "for_each": [{"name": "n", "first": 1, "last": 6}],
    "request": {"path": "/things", "query": {"n": "{each.n}"}},
}


async def test_one_token_serves_all_requests_of_a_source() -> None:
    server = TokenServer()
    async with ApiServer(server) as api:
        crawler = await crawl(api, auth=oauth(api, scopes=["read", "list"]), **NUMBERS)
    assert crawler.batches[0].counts.read == 6
    assert server.forms == [
        {
            "grant_type": ["client_credentials"],
            "scope": ["read list"],
            "client_id": ["client-1"],
            "client_secret": ["client-secret-1"],
        }
    ]


async def test_a_refresh_token_and_a_client_in_the_header() -> None:
    server = TokenServer()
    async with ApiServer(server) as api:
        auth = oauth(
            api, grant="refresh_token", refresh_token=KEY, client_in="basic", params={"audience": "shop"}
        )
        crawler = await crawl(api, auth=auth)
        sent = api.seen[0].headers["Authorization"]
    assert crawler.batches[0].counts.read == 1
    assert base64.b64decode(sent.removeprefix("Basic ")) == b"client-1:client-secret-1"
    assert server.forms == [{"grant_type": ["refresh_token"], "refresh_token": [TOKEN], "audience": ["shop"]}]


async def test_a_token_that_is_taken_back_is_had_anew_once() -> None:
    server = TokenServer(good_for=3)
    async with ApiServer(server) as api:
        limits = {"requests_per_second": 0, "concurrency": 1}
        crawler = await crawl(api, auth=oauth(api), limits=limits, **NUMBERS)
    assert crawler.batches[0].counts.read == 6
    assert server.given == 2


async def test_a_token_is_renewed_before_its_life_ends() -> None:
    server = TokenServer(life_s=0.01)
    async with ApiServer(server) as api:
        limits = {"requests_per_second": 50, "concurrency": 1}
        crawler = await crawl(api, auth=oauth(api), limits=limits, **NUMBERS)
    assert crawler.batches[0].counts.read == 6
    assert server.given > 3
    assert not [
        asked
        for asked in api.seen
        if asked.path == "/things" and asked.headers["Authorization"].endswith("-0")
    ]


async def test_a_client_that_is_refused_ends_the_run_with_the_reason_and_without_the_secret() -> None:
    async with ApiServer(lambda _: refused(400, "the client client-secret-1 is unknown")) as api:
        crawler = await crawl(api, auth=oauth(api))
    assert "no token: the source answers HTTP 400" in (crawler.batches[0].detail or "")
    assert "client-secret-1" not in f"{crawler.events}"
    assert [asked.path for asked in api.seen] == ["/token"]


async def test_a_token_url_at_a_private_address_is_not_asked() -> None:
    async with ApiServer(lambda _: [{"id": 1}]) as api:
        auth = {**oauth(api), "token_url": "http://127.0.0.1:9/token"}
        crawler = await crawl(api, auth=auth)
    assert "is a private address" in (crawler.batches[0].detail or "")


@pytest.mark.parametrize("place", ["token", "token_header", "token_cookie"])
async def test_a_login_gives_a_token_and_is_done_again_after_a_refusal(place: str) -> None:
    logins: list[Any] = []

    def answer(asked: Asked) -> Any:
        if asked.path == "/login":
            logins.append(asked.json)
            token = f"session-{len(logins)}"
            made = web.json_response({"data": {"token": token}}, headers={"X-Session": token})
            made.set_cookie("sid", token)
            return made
        return [{"id": 1}] if asked.headers["X-Auth"] == "session-2" else refused(401, "expired")

    async with ApiServer(answer) as api:
        body = {"json": {"user": "ann", "password": "{secret.password}"}}
        auth = {
            "kind": "login",
            "request": {"method": "POST", "path": "/login", "body": body},
            place: {"token": "data.token", "token_header": "X-Session", "token_cookie": "sid"}[place],
            "send": {"name": "X-Auth", "value": "{token}"},
        }
        crawler = await crawl(api, auth=auth, secrets={"password": KEY})
    assert crawler.batches[0].counts.read == 1
    assert logins == [{"user": "ann", "password": TOKEN}] * 2


async def test_a_redirect_to_another_host_gets_no_credentials() -> None:
    async with ApiServer(lambda _: [{"id": 1}]) as other:

        def answer(_: Asked) -> Any:
            raise web.HTTPFound(f"http://localhost:{other.port}/elsewhere")

        async with ApiServer(answer) as api:
            datasets = {
                "things": api_dataset(
                    api.url,
                    secrets={"key": KEY},
                    request={"path": "/things", "headers": {"X-Extra": "{secret.key}", "X-Plain": "yes"}},
                    auth={"kind": "bearer", "token": KEY},
                )
            }
            allow = f"{api.allow},localhost:{other.port}"
            async with crawler_of(api.url, allow=allow, datasets=datasets, variables=VARIABLES) as crawler:
                await crawler.run({"datasets": ["things"]})
        [asked] = other.seen
    assert asked.headers["X-Plain"] == "yes"
    assert {"Authorization", "X-Extra", "Cookie"}.isdisjoint(asked.headers)
    assert TOKEN not in f"{asked}"
