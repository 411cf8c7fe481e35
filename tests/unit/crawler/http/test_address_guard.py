"""A source's answers must not turn the crawler into a door to the machines behind it."""

import re
import socket
from pathlib import Path

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from services.crawler.domain.fetching import FetchError, RetryPolicy
from services.crawler.http.address_guard import (
    AllowedHosts,
    ForbiddenAddressError,
    check_addresses,
    check_url,
)
from services.crawler.http.resolver import CheckingResolver
from services.crawler.http.transport import HttpTransport
from tests.support.source import SourceServer, redirect

NO_HOSTS = AllowedHosts()

FORBIDDEN_URLS = [
    # loopback and this host, in every spelling
    "http://[::1]@/",
    "http://127.0.0.1/",
    "http://127.0.0.1:80/",
    "http://127.1/",
    "http://127.0.1/",
    "http://127.255.255.254/",
    "http://0/",
    "http://0.0.0.0/",
    "http://2130706433/",
    "http://017700000001/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://0x7f.0x0.0x0.0x1/",
    "http://0177.0.0.1/",
    "http://127.0.0.0x1/",
    "http://127.0.0.1./",
    "http://①②⑦.⓪.⓪.①/",
    "http://127。0。0。1/",
    "http://%31%32%37.0.0.1/",
    "http://127.0.0.1%00.example.org/",
    "http://[::1]/",
    "http://[::]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b:1::1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001::1]/",
    # cloud metadata
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://169.254.43518/",
    "http://[::ffff:169.254.169.254]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:a9fe:a9fe::]/",
    "http://[fd00:ec2::254]/",
    "http://192.0.0.192/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    # private, shared, reserved, multicast
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://198.18.0.1/",
    "http://192.0.2.1/",
    "http://224.0.0.1/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fc00::1]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
    # not http, or not honest
    "file:///etc/passwd",
    "ftp://example.org/",
    "gopher://example.org/",
    "data:application/json,[]",
    "dict://example.org:11211/",
    "jar:http://example.org!/",
    "ws://example.org/",
    "//example.org/",
    "example.org",
    "",
    "http://",
    "http:///path",
    "http://user@example.org/",
    "http://user:password@example.org/",
    "http://:@example.org@127.0.0.1/",
    "http://example.org:80@127.0.0.1/",
    "http://example.org\\@127.0.0.1/",
    "http://exam ple.org/",
    "http://example.org/a b",
    "http://exa\tmple.org/",
    "http://example.org\r\nHost: x/",
    "http://example.org/\x00",
    "http://example.org:99999/",
    "http://example.org:0x50/",
    "http://example.org:0/",
    "http://[::1/",
    "http://a..b/",
    "http://-/",
    "http://*.example.org/",
    "http://" + "a" * 64 + ".org/",
    "http://" + "a." * 200 + "org/",
    "http://\udcff/",
]


@pytest.mark.parametrize("url", FORBIDDEN_URLS)
def test_a_forbidden_url_is_refused_before_any_connection(url: str) -> None:
    with pytest.raises(ForbiddenAddressError):
        check_url(url, NO_HOSTS)


@pytest.mark.parametrize(
    "url",
    [
        "https://jsonplaceholder.typicode.com/posts?_page=1",
        "http://example.org:8080/a%20b?c=%00#d",
        "http://8.8.8.8/",
        "http://[2001:4860:4860::8888]/",
        "http://[64:ff9b::808:808]/",
        "http://[::ffff:8.8.8.8]/",
        "http://bücher.example/",
        "http://xn--bcher-kva.example/",
        "http://my_host.internal/",
        "http://example.org./",
        "http://1e100.net/",
        "http://0x.example.org/",
    ],
)
def test_a_public_url_may_be_asked_for(url: str) -> None:
    check_url(url, NO_HOSTS)


def test_the_reason_names_what_is_wrong_and_what_to_do() -> None:
    with pytest.raises(ForbiddenAddressError) as caught:
        check_url("http://127.0.0.1/", NO_HOSTS)
    assert str(caught.value) == (
        "127.0.0.1:80 is a private address: to crawl it, add 127.0.0.1:80 to ONPOINT_CRAWL_ALLOW_HOSTS "
        "and restart the crawler, which reads it at its start"
    )


PRIVATE_ADDRESSES = [
    "127.0.0.1",
    "10.1.2.3",
    "169.254.169.254",
    "::1",
    "fd00:ec2::254",
    "::ffff:10.0.0.1",
    "0.1.2.3",
]


@pytest.mark.parametrize("address", PRIVATE_ADDRESSES)
def test_every_address_of_a_name_must_be_public(address: str) -> None:
    check_addresses("example.org", 80, ["8.8.8.8"], NO_HOSTS)
    with pytest.raises(
        ForbiddenAddressError,
        match=r"at example.org\) is a private address: to crawl it, add example.org:80 to",
    ):
        check_addresses("example.org", 80, ["8.8.8.8", address], NO_HOSTS)


@pytest.mark.parametrize(
    ("named", "url", "may"),
    [
        ("127.0.0.1", "http://127.0.0.1:9100/", True),
        ("127.0.0.1:9100", "http://127.0.0.1:9100/", True),
        ("127.0.0.1:9100", "http://127.0.0.1:9101/", False),
        ("127.0.0.1:9100", "http://127.0.0.2:9100/", False),
        ("127.0.0.1:80", "http://127.0.0.1/", True),
        ("127.0.0.1:443", "https://127.0.0.1/", True),
        ("127.0.0.1:9100", "http://127.1:9100/", False),
        ("127.0.0.1:9100", "http://user@127.0.0.1:9100/", False),
        ("[::1]:9100", "http://[::1]:9100/", True),
        ("[::1]", "http://[0:0:0:0:0:0:0:1]:9/", True),
        ("::1", "http://[::1]:9/", True),
        ("10.0.0.1, 127.0.0.1 ,", "http://127.0.0.1/", True),
        ("", "http://127.0.0.1/", False),
    ],
)
def test_an_operator_may_name_private_hosts(named: str, url: str, may: bool) -> None:
    allowed = AllowedHosts.parse(named)
    if may:
        check_url(url, allowed)
    else:
        with pytest.raises(ForbiddenAddressError):
            check_url(url, allowed)


def test_a_name_that_is_allowed_may_have_private_addresses() -> None:
    allowed = AllowedHosts.parse("source.internal:8080, LOCALHOST")
    check_addresses("source.internal", 8080, ["10.0.0.1"], allowed)
    check_addresses("localhost.", 1, ["127.0.0.1"], allowed)
    for host, port in (("source.internal", 80), ("other.internal", 8080), ("a.source.internal", 8080)):
        with pytest.raises(ForbiddenAddressError):
            check_addresses(host, port, ["10.0.0.1"], allowed)


@pytest.mark.parametrize("entry", ["http://a", "a/b", "a:b", "a:0", "a:99999", "u@a", "a?b", "[::1", "a b"])
def test_a_wrong_entry_is_refused_by_name(entry: str) -> None:
    with pytest.raises(ValueError, match="is not a host"):
        AllowedHosts.parse(f"good.example, {entry}")


class Names(AbstractResolver):
    """A name server that answers as the test wants; each answer once, the last for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002 - the interface's
    ) -> list[ResolveResult]:
        self.asked.append(host)
        addresses = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
            for address in addresses
        ]

    async def close(self) -> None:
        return None


def transport(allowed: AllowedHosts, names: Names | None = None) -> HttpTransport:
    resolver = None if names is None else CheckingResolver(allowed, names)
    return HttpTransport(
        allowed=allowed, user_agent="t", timeout_s=5, policy=RetryPolicy(), resolver=resolver
    )


async def test_a_name_with_a_private_address_is_not_connected_to(tmp_path: Path) -> None:
    async with SourceServer({"posts": []}) as canary:
        for addresses in (["127.0.0.1"], ["8.8.8.8", "127.0.0.1"]):
            async with transport(NO_HOSTS, Names(addresses)) as http:
                with pytest.raises(FetchError, match=r"\(at inside.example\) is a private address") as caught:
                    await http.get(f"http://inside.example:{canary.port}/posts", tmp_path)
                assert not caught.value.retryable
        assert canary.seen == []


async def test_a_name_server_cannot_change_its_mind_between_check_and_connection(tmp_path: Path) -> None:
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    async with SourceServer({"posts": []}) as source:
        async with transport(AllowedHosts.parse("rebound.example"), names) as http:
            response = await http.get(f"http://rebound.example:{source.port}/posts", tmp_path)
            response.body.close()
        assert names.asked == ["rebound.example"]


ABSOLUTE = re.compile(r"[!-~]+://[!-.0-9;-~][!-~]*")
"""What is still the same URL after it was joined to the one that redirects."""


@pytest.mark.parametrize("url", [url for url in FORBIDDEN_URLS if ABSOLUTE.fullmatch(url)])
async def test_a_redirect_to_a_forbidden_url_is_not_followed(url: str, tmp_path: Path) -> None:
    async with SourceServer({"posts": []}) as source:
        source.fail("/posts", redirect(url))
        async with transport(AllowedHosts.parse(source.allow)) as http:
            with pytest.raises(FetchError) as caught:
                await http.get(f"{source.url}/posts", tmp_path)
        assert not caught.value.retryable
        assert len(source.seen) == 1


async def test_a_redirect_to_another_port_of_an_allowed_host_is_not_followed(tmp_path: Path) -> None:
    async with SourceServer() as canary, SourceServer() as source:
        source.fail("/posts", redirect(f"{canary.url}/posts"))
        async with transport(AllowedHosts.parse(source.allow)) as http:
            with pytest.raises(FetchError, match="is a private address"):
                await http.get(f"{source.url}/posts", tmp_path)
        assert canary.seen == []
