"""`onpoint datasets init`: a first dataset file for an URL, by what the source answers."""

import asyncio
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from console.cli.errors import CommandError, WrongUseError

LOOKED_AT_RECORDS = 200
LEVELS_SEARCHED = 3
MAX_COLUMNS = 200
NAMES_OF_NEXT_URLS = ("next", "next_url", "nextLink", "@odata.nextLink", "next_page_url")
NAMES_OF_CURSORS = ("next_cursor", "nextCursor", "next_page_token", "nextPageToken", "after", "cursor")

_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def propose(url: str) -> str:
    """The text of a file. Raises `CommandError` where the source does not answer with JSON."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise WrongUseError(f"{url} is not an address: write one such as https://api.example.org/orders")
    headers, body = asyncio.run(_ask(url))
    document = file_of(url, headers, body)
    import yaml

    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)
    return text


async def _ask(url: str) -> tuple[Mapping[str, tuple[str, ...]], Any]:
    from services.crawler.domain.fetching import FetchError, RetryPolicy
    from services.crawler.http.address_guard import AllowedHosts
    from services.crawler.http.transport import HttpTransport
    from services.crawler.settings import CrawlSettings
    from shared.settings.model import load_settings

    settings = load_settings(CrawlSettings)
    transport = HttpTransport(
        allowed=AllowedHosts.parse(settings.crawl_allow_hosts),
        user_agent=settings.crawl_user_agent,
        timeout_s=settings.crawl_timeout_s,
        policy=RetryPolicy(),
        read_timeout_s=settings.crawl_read_timeout_s,
    )
    import msgspec

    try:
        with tempfile.TemporaryDirectory() as folder:
            async with transport:
                response = await transport.get(url, Path(folder))
                try:
                    return response.headers, msgspec.json.decode(response.body.read())
                finally:
                    response.body.close()
    except FetchError as error:
        raise CommandError(f"{url}: {error}") from error
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise CommandError(f"{url}: the answer is not JSON: {error}") from error


def file_of(url: str, headers: Mapping[str, tuple[str, ...]], body: Any) -> dict[str, Any]:
    """The document of a dataset file. It says what was seen: the author completes it."""
    parts = urlsplit(url)
    name = snake(
        next(
            (part for part in reversed(parts.path.split("/")) if re.search("[a-z]", part.lower())), "records"
        )
    )
    path, records = find_records(body)
    columns, key = columns_of(records)
    query: dict[str, Any] = {
        key_: _literal(value) for key_, value in parse_qsl(parts.query, keep_blank_values=True)
    }
    source: dict[str, Any] = {
        "name": snake(parts.hostname or "source"),
        "kind": "api",
        "base_url": f"{parts.scheme}://{parts.netloc}",
        "request": {"path": _literal(parts.path or "/"), **({"query": query} if query else {})},
    }
    if path is None:
        source["records"] = {"shape": "object"}
    elif path:
        source["records"] = {"path": path}
    pagination = _pagination(headers, body)
    if pagination is not None:
        source["pagination"] = pagination
        if pagination["kind"] == "cursor":
            source["request"].setdefault("query", {})["cursor"] = "{cursor}"
    return {"name": name, "source": source, "table": name, "key": [key], "columns": columns}


def snake(text: str) -> str:
    """A name that a dataset or column may have."""
    words = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text).lower()).strip("_")
    return (words if re.match("[a-z]", words) else f"n_{words}")[:63].rstrip("_")


def find_records(body: Any) -> tuple[str | None, list[dict[str, Any]]]:
    """The path to the first array of objects, and what it holds; a path of None: the answer is one record."""
    for path, value in _values(body, ()):
        if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            return ".".join(key.replace("\\", "\\\\").replace(".", "\\.") for key in path), value[
                :LOOKED_AT_RECORDS
            ]
    if isinstance(body, dict) and body:
        return None, [body]
    raise CommandError("there are no records in the answer: an array of objects, or an object, is expected")


def _values(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    level = [(path, value)]
    for _ in range(LEVELS_SEARCHED + 1):
        yield from level
        level = [
            ((*above, key), inner)
            for above, one in level
            if isinstance(one, dict)
            for key, inner in one.items()
        ]


def columns_of(records: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], str]:
    """A column for each key, and the key of the rows: `id`, or the hash of the record."""
    keys = list(dict.fromkeys(key for record in records for key in record))[:MAX_COLUMNS]
    columns: list[dict[str, Any]] = []
    names: set[str] = set()
    for key in keys:
        name = snake(key)
        if name in names:
            continue
        names.add(name)
        column: dict[str, Any] = {"name": name, "type": type_of([record.get(key) for record in records])}
        if name != key:
            column["from"] = key if re.fullmatch(r"[^.\\\"\s]+", key) else '"' + key.replace('"', '\\"') + '"'
        columns.append(column)
    for column in columns:
        ids = [record.get(column.get("from", column["name"])) for record in records]
        if (
            column["name"] in {"id", "uuid", "key"}
            and None not in ids
            and len(set(map(str, ids))) == len(ids)
        ):
            return columns, str(column["name"])
    return [{"name": "row_hash", "type": "string", "from": "$hash"}, *columns], "row_hash"


def type_of(values: list[Any]) -> str:
    """That every value fits; text or JSON where they differ."""
    seen = [value for value in values if value is not None]
    fits = (name for name, is_of in _TYPES.items() if seen and all(map(is_of, seen)))
    return next(fits, "json" if seen else "string")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: dict[str, Callable[[Any], bool]] = {
    "boolean": lambda value: isinstance(value, bool),
    "int64": lambda value: isinstance(value, int) and _is_number(value) and abs(value) < 2**63,
    "float64": _is_number,
    "timestamp": lambda value: isinstance(value, str) and _TIME.fullmatch(value) is not None,
    "date": lambda value: isinstance(value, str) and _DAY.fullmatch(value) is not None,
    "string": lambda value: isinstance(value, str),
}
"""The first that every value fits."""


def _pagination(headers: Mapping[str, tuple[str, ...]], body: Any) -> dict[str, Any] | None:
    """As the answer shows it; None: it shows none."""
    if any('rel="next"' in link or "rel=next" in link for link in headers.get("link", ())):
        return {"kind": "link"}
    for path, value in _values(body, ()):
        if not path or not isinstance(value, str | int) or isinstance(value, bool):
            continue
        written = ".".join(key.replace(".", "\\.") for key in path)
        if path[-1] in NAMES_OF_NEXT_URLS and isinstance(value, str) and value.startswith(("http", "/")):
            return {"kind": "link", "next": {"path": written}}
        if path[-1] in NAMES_OF_CURSORS:
            return {"kind": "cursor", "next": {"path": written}}
    return None


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
