"""A request of a dataset file with its values: the URL, headers and body that are sent, and the URL as it may be shown."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from shared.datasets.sources.api import RequestSource
from shared.datasets.sources.moments import write_moment
from shared.datasets.sources.pagination import Cursors
from shared.datasets.sources.request import Body, RequestTemplate
from shared.datasets.sources.templates import Placeholder, parse_text, placeholders_in

HIDDEN = "***"

Values = Mapping[str, Any]
"""By the names of placeholders. None and what is not there have no value."""


class NoValueError(ValueError):
    """A text needs a value that is not there."""


@dataclass(frozen=True, slots=True)
class RenderedRequest:
    method: str
    url: str
    shown_url: str
    """Without secrets."""
    headers: Mapping[str, str]
    private: frozenset[str]
    """Headers with secrets, in lower case: they go to the source's own host alone."""
    body: bytes | None = None


def fill_text(text: str, values: Values, encode: Callable[[str], str] = str) -> str:
    """The text with its values, each encoded. Raises `NoValueError`."""
    return "".join(
        part if isinstance(part, str) else encode(_as_text(_value_of(part, values)))
        for part in parse_text(text)
    )


def fill(template: Any, values: Values) -> Any:
    """JSON with its values: a placeholder alone keeps its type, and an entry that is one without a value is left out.

    Raises `NoValueError` for a longer text that lacks a value.
    """
    if isinstance(template, str):
        alone = _alone(template)
        return written(alone, values.get(alone.name)) if alone else fill_text(template, values)
    if isinstance(template, Mapping):
        return {
            fill_text(key, values): fill(inner, values)
            for key, inner in template.items()
            if not _lacks(inner, values)
        }
    if isinstance(template, list | tuple):
        return [fill(inner, values) for inner in template if not _lacks(inner, values)]
    return template


def _lacks(template: Any, values: Values) -> bool:
    alone = _alone(template) if isinstance(template, str) else None
    return alone is not None and values.get(alone.name) is None


def _alone(text: str) -> Placeholder | None:
    parts = parse_text(text)
    return parts[0] if len(parts) == 1 and isinstance(parts[0], Placeholder) else None


def _value_of(part: Placeholder, values: Values) -> Any:
    value = values.get(part.name)
    if value is None:
        raise NoValueError(f"{{{part.name}}} has no value")
    return written(part, value)


def written(part: Placeholder, value: Any) -> Any:
    """A value in the format of its placeholder."""
    if isinstance(value, datetime):
        return write_moment(value, part.form or "rfc3339")
    match part.form:
        case "csv" if isinstance(value, list | tuple):
            return ",".join(map(_as_text, value))
        case "json":
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        case "text":
            return _as_text(value)
        case "int" if value is not None:
            return int(value)
    return value


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ",".join(map(_as_text, value))
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return str(value)


def render(
    source: RequestSource,
    request: RequestTemplate,
    values: Values,
    secrets: Mapping[str, str],
    *,
    next_url: str | None = None,
) -> RenderedRequest:
    """`secrets`: by name. `next_url`: what the source named in place of path and query. Raises `NoValueError`."""
    headers = {
        name: text
        for name, template in {**source.headers, **request.headers}.items()
        if (text := _header(template, {**values, **_named(secrets)})) is not None
    }
    private = frozenset(
        name.lower()
        for name, template in {**source.headers, **request.headers}.items()
        if any(found.root == "secret" for found in placeholders_in(template))
    )
    body = None
    if request.body is not None:
        kind, body = _body(_resent_body(source, request.body, values), {**values, **_named(secrets)})
        headers.setdefault("Content-Type", kind)
    if next_url is not None:
        secret = secret_entries(request)
        query = query_text(secret, {**values, **_named(secrets)})
        url = f"{next_url}{'&' if '?' in next_url else '?'}{query}" if query else next_url
        return RenderedRequest(request.method, url, next_url, headers, private, body)
    hidden = dict.fromkeys(secrets, HIDDEN)
    url, shown = (_url(source, request, {**values, **_named(known)}) for known in (secrets, hidden))
    return RenderedRequest(request.method, url, shown, headers, private, body)


def secret_entries(request: RequestTemplate) -> dict[str, Any]:
    """Of the query: what holds secrets. A source may put it into the next URL, where it is taken out and sent anew."""
    return {
        name: value
        for name, value in request.query.items()
        if any(found.root == "secret" for found in placeholders_in(value))
    }


def _named(secrets: Mapping[str, str]) -> dict[str, str]:
    return {f"secret.{name}": value for name, value in secrets.items()}


def _header(template: str, values: Values) -> str | None:
    alone = _alone(template)
    if alone is not None and values.get(alone.name) is None:
        return None
    return fill_text(template, values).replace("\r", "").replace("\n", "")


def _url(source: RequestSource, request: RequestTemplate, values: Values) -> str:
    keep = request.keep or ""
    base = fill_text(source.base_url, values, lambda text: quote(text, safe=""))
    path = fill_text(request.path or "", values, lambda text: quote(text, safe=keep))
    query = query_text(_resent(source, request.query, values), values, keep)
    joint = "&" if "?" in path else "?"
    return f"{base}{path}{joint + query if query else ''}"


def query_text(query: Mapping[str, Any], values: Values, keep: str = "") -> str:
    """A list repeats its parameter."""
    pairs = [
        (name, _as_text(one))
        for name, value in fill(query, values).items()
        for one in (value if isinstance(value, list) else [value])
        if one is not None
    ]
    return urlencode(pairs, quote_via=quote, safe=keep)


def _resent(source: RequestSource, entries: Mapping[str, Any], values: Values) -> Mapping[str, Any]:
    """Of a later page of a cursor: what the file says that is sent again, and whatever holds the cursor."""
    pagination = source.pagination
    if not isinstance(pagination, Cursors) or pagination.resend == "all" or values.get("cursor") is None:
        return entries
    again = () if pagination.resend == "none" else pagination.resend
    return {
        name: value
        for name, value in entries.items()
        if name in again or any(found.name == "cursor" for found in placeholders_in(value))
    }


def _resent_body(source: RequestSource, body: Body, values: Values) -> Body:
    changes: dict[str, Any] = {}
    for field in ("json_", "form"):
        entries = getattr(body, field)
        if isinstance(entries, dict):
            changes[field] = _resent(source, entries, values)
    return body.model_copy(update=changes)


def _body(body: Body, values: Values) -> tuple[str, bytes]:
    if body.form is not None:
        return "application/x-www-form-urlencoded", query_text(body.form, values).encode()
    if body.text is not None:
        return "text/plain; charset=utf-8", fill_text(body.text, values).encode()
    if body.graphql is not None:
        document = {"query": body.graphql.query, "variables": fill(body.graphql.variables, values)}
    else:
        document = fill(body.json_, values)
    return "application/json", json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
