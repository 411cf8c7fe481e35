"""Checks the address of a database. Pure; no part of the address is ever in a message."""

import re
from urllib.parse import parse_qs, unquote, urlparse

SCHEMES = {"postgresql", "postgres"}
NO_URL = "is not a postgresql:// URL"
BAD_PORT = "the port is not a number"
ADVICE = (
    "cannot be taken apart as a URL; percent-encode the user and the password: write / ? # @ [ ] % "
    "as %2F %3F %23 %40 %5B %5D %25"
)

_PLAIN = re.compile(r"(?:[^@/?#]*@)?(?P<hosts>[^@/?#\[\]]*)(?:/[^@?#]*)?(?:\?(?P<parameters>[^@#]*))?")
"""What follows the scheme, where no sign can be a piece of a password that was not encoded."""

_BRACKETED = re.compile(r"\[[^\]]+\]")


def fault_of(dsn: str) -> str | None:
    """What is wrong with the address, in a sentence without any part of it; None: it can be used."""
    if is_whole(dsn):
        return None
    scheme, slashes, rest = dsn.partition("://")
    if not slashes or scheme.lower() not in SCHEMES:
        return NO_URL
    plain = _PLAIN.fullmatch(rest)
    return BAD_PORT if plain and _has_bad_port(plain["hosts"], plain["parameters"] or "") else ADVICE


def _has_bad_port(hosts: str, parameters: str) -> bool:
    named = parse_qs(parameters)
    addresses = ",".join([hosts, *named.get("host", ())])
    ports = [address.partition(":")[2] for address in addresses.split(",") if not address.startswith("/")]
    ports += ",".join(named.get("port", ())).split(",")
    return any(port and not unquote(port).isdecimal() for port in ports)


def is_whole(dsn: str) -> bool:
    """Whether the driver can take it apart, and no piece of a password lies where it looks for something else.

    The driver would name that piece in its error. All that it understands is accepted: several hosts, IPv6, sockets, no
    host, any parameters; only an `@` in the name of a database must be `%40` where no user is named before the host.
    """
    try:
        parts = urlparse(dsn)
        named = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
        user, at, hosts = parts.netloc.partition("@")
        hosts = hosts if at else user
        if parts.scheme not in SCHEMES or "@" in hosts + parts.fragment or ("@" in parts.path and not at):
            return False
        if hosts:
            return _are_addresses(hosts)
        if "port" in named:
            return all(int(port) >= 0 for port in named["port"][-1].split(","))
        return "host" not in named or _are_addresses(named["host"][-1])
    except ValueError:
        return False


def _are_addresses(hosts: str) -> bool:
    """Raises `ValueError` for a port that is not a number."""
    return all(map(_is_address, hosts.split(",")))


def _is_address(text: str) -> bool:
    if text.startswith("["):
        return _BRACKETED.match(text) is not None
    if text.startswith("/"):
        return True
    port = unquote(text.partition(":")[2])
    return bool(text) and (not port or int(port) >= 0)
