"""Where the services answer, as a setting names it. Pure."""

import re
from dataclasses import dataclass

from yarl import URL

_NAME = re.compile(r"[a-z][a-z0-9-]{0,40}")

MOST = 100


@dataclass(frozen=True, slots=True)
class Target:
    service: str
    host: str
    port: int


def parse_targets(text: str) -> tuple[Target, ...]:
    """Of `crawler=http://host:port,…`. Raises `ValueError` that names the wrong entry."""
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    if len(entries) > MOST:
        raise ValueError(f"more than {MOST} services")
    return tuple(_target(entry) for entry in entries)


def _target(entry: str) -> Target:
    name, _, address = entry.partition("=")
    try:
        url = URL(address)
        host, port = url.raw_host, url.port
    except ValueError as error:
        raise ValueError(f"{entry!r} is not name=http://host:port") from error
    is_bare = url.raw_path in {"", "/"} and not url.raw_query_string and url.raw_user is None
    if not _NAME.fullmatch(name) or url.scheme != "http" or not host or not port or not is_bare:
        raise ValueError(f"{entry!r} is not name=http://host:port")
    return Target(name, host, port)
