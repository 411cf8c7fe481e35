"""Dataset files whose source writes the request: what is taken, and what the author is told of each mistake."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.datasets.catalog import DatasetFile, RefusedFile, read_file
from shared.datasets.frozen import dump
from shared.datasets.model import Dataset
from shared.datasets.sources.api import RequestSource

GOOD: dict[str, Any] = {
    "name": "orders",
    "source": {
        "name": "shop",
        "kind": "api",
        "base_url": "https://{param.region}.example.org",
        "auth": {"kind": "bearer", "token": {"env": "SHOP_TOKEN"}},
        "params": {"region": {"default": "eu"}},
        "request": {"path": "/orders", "query": {"cursor": "{cursor}"}},
        "pagination": {"kind": "cursor", "next": {"path": "next"}},
    },
    "table": "orders",
    "key": ["id"],
    "columns": [{"name": "id", "type": "int64"}],
}


def with_source(**changes: Any) -> dict[str, Any]:
    source = {name: value for name, value in {**GOOD["source"], **changes}.items() if value is not None}
    return {**GOOD, "source": source}


def read(tmp_path: Path, document: dict[str, Any], variables: dict[str, str] | None = None) -> Any:
    path = tmp_path / "orders.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return read_file(path, variables or {})


def test_a_file_is_frozen_and_read_again_as_it_was(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD)
    assert isinstance(found, DatasetFile)
    assert Dataset.model_validate_json(dump(found.dataset)) == found.dataset
    assert isinstance(found.dataset.source, RequestSource)
    assert isinstance(hash(found.dataset), int)


def test_the_environment_replaces_address_limits_and_size(tmp_path: Path) -> None:
    document = with_source(
        request={"path": "/orders", "query": {"page": "{page}", "size": "{size}"}},
        pagination={"kind": "page", "size": 100},
    )
    variables = {
        "ONPOINT_SOURCE_SHOP_URL": "http://127.0.0.1:9",
        "ONPOINT_SOURCE_SHOP_REQUESTS_PER_SECOND": "3",
        "ONPOINT_SOURCE_SHOP_CONCURRENCY": "2",
        "ONPOINT_SOURCE_SHOP_PAGE_SIZE": "50",
    }
    found = read(tmp_path, document, variables)
    assert isinstance(found, DatasetFile), found
    source = found.dataset.source
    assert (source.base_url, source.requests_per_second, source.concurrency) == ("http://127.0.0.1:9", 3, 2)
    assert source.pagination.size == 50  # type: ignore[union-attr]


MISTAKES = [
    ({"auth": {"kind": "bearer", "token": "abc"}}, "source.auth.token: a secret never stands in a file"),
    ({"auth": {"kind": "bearer", "token": {}}}, "source.auth.token: write either {env: NAME} or {file:"),
    (
        {"auth": {"kind": "bearer", "token": {"env": "ONPOINT_POSTGRES_DSN"}}},
        "ONPOINT_POSTGRES_DSN is a variable of the pipeline itself",
    ),
    ({"auth": {"kind": "bearer", "token": {"file": "token"}}}, "'token' must be an absolute path"),
    ({"auth": {"kind": "sigv4"}}, "source.auth.kind: sigv4 is none of none, basic, bearer"),
    (
        {"auth": {"kind": "oauth2", "token_url": "https://a.example/t", "grant": "refresh_token"}},
        "`refresh_token` is missing",
    ),
    ({"request": {"path": "/orders"}}, "{cursor} is nowhere in the request"),
    (
        {"request": {"path": "orders", "query": {"c": "{cursor}"}}},
        "source.request.path: 'orders' must start with /",
    ),
    ({"request": {"path": "/{cursr}"}}, "there is no placeholder {cursr}"),
    ({"request": {"path": "/a}", "query": {"c": "{cursor}"}}}, "write {{ or }} for a brace"),
    (
        {"request": {"path": "/{each.shop}", "query": {"c": "{cursor}"}}},
        "{each.shop} is not named in `for_each`",
    ),
    (
        {"request": {"path": "/{parent.shop}", "query": {"c": "{cursor}"}}},
        "{parent.shop} is not named in `for_each`",
    ),
    (
        {"request": {"path": "/", "query": {"c": "{cursor}", "p": "{param.x}"}}},
        "is not named in `params`: there are region",
    ),
    ({"request": {"path": "/", "query": {"c": "{cursor}", "p": "{secret.x}"}}}, "is not named in `secrets`"),
    (
        {"request": {"path": "/", "query": {"c": "{cursor}", "p": "{window.from}"}}},
        "there is no `incremental`",
    ),
    ({"request": {"path": "/", "query": {"c": "{cursor}", "p": "{page}"}}}, "`pagination` is of kind cursor"),
    ({"request": {"path": "/", "query": {"c": "{cursor:loud}"}}}, "'loud' is not a format"),
    ({"request": {"path": "/{cursor}", "body": {"json": {}}}}, "a GET request has no body"),
    ({"request": {"path": "/{cursor}", "method": "DELETE"}}, "DELETE is none of GET, POST, PUT, PATCH"),
    ({"request": {"pth": "/{cursor}"}}, "there is no field `pth` here: did you mean `path`?"),
    ({"base_url": "ftp://example.org"}, "source.base_url: 'ftp://example.org' is not an address"),
    ({"base_url": "https://ann:pw@example.org"}, "an address has no user and password"),
    (
        {"pagination": {"kind": "cursor", "next": {}}},
        "write exactly one of `path`, `header`, `link`, `last` and `max`",
    ),
    ({"pagination": {"kind": "cursor", "next": {"path": "a..b"}}}, "a key is expected at character 3"),
    ({"pagination": {"kind": "cursor", "next": {"path": "a", "match": "x"}}}, "has no group"),
    ({"pagination": {"kind": "ids"}}, "`kind: ids` is of sources without a `request`"),
    (
        {"records": {"path": "a", "shape": "list"}},
        "list is none of array, object, map, rows, columns, scalars",
    ),
    ({"records": {"where": [{"path": "a"}]}}, "there is no test"),
    ({"for_each": [{"name": "n", "first": 5, "last": 1}]}, "no number is between"),
    (
        {"incremental": {"field": "t", "window": "7 days", "start": "2024-01-01"}},
        "'7 days' is not a length of time",
    ),
    ({"incremental": {"field": "t", "window": "7d"}}, "`start` is missing: windows are counted from it"),
    ({"incremental": {"field": "t", "start": "yesterday"}}, "'yesterday' is not a day or time"),
    ({"responses": [{"action": "fail"}]}, "write `status`, `when` or both"),
    ({"responses": [{"status": 404, "action": "skip"}]}, "skip is none of accept, empty, stop, retry"),
    (
        {"responses": [{"status": 404, "action": "fail", "tries": 3}]},
        "only `action: wait` and `action: retry` have tries",
    ),
    ({"job": {}}, "source.job: `job` is not supported in this version"),
    ({"client": "shop"}, "source.client: `client` is not supported in this version"),
    ({"limits": {"remaining": "X-Left"}}, "`remaining` and `reset` belong together"),
]


@pytest.mark.parametrize(("changes", "told"), MISTAKES, ids=[told[:50] for _, told in MISTAKES])
def test_a_mistake_is_told_with_its_line_and_what_to_write(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    found = read(tmp_path, with_source(**changes))
    assert isinstance(found, RefusedFile)
    said = "\n".join(found.mistakes())
    assert told in said
    assert "form:" not in said
    assert len(said.splitlines()) == 1
    assert found.line > 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"deleted": {"path": "gone", "equals": True}},
            "deleted: `deleted` is not supported in this version",
        ),
        ({"key": []}, "add the column {name: row_hash, type: string, from: $hash}"),
        (
            {"source": {**GOOD["source"], "kind": "web"}},
            "sources of kind web are not supported in this version",
        ),
    ],
)
def test_what_is_not_built_is_refused_by_name(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    found = read(tmp_path, {**GOOD, **change})
    assert isinstance(found, RefusedFile)
    assert told in found.reason


def test_columns_from_several_places_are_of_written_requests_only(tmp_path: Path) -> None:
    columns = [*GOOD["columns"], {"name": "phone", "type": "string", "from": ["mobile", "phones[0]"]}]
    assert isinstance(read(tmp_path, {**GOOD, "columns": columns}), DatasetFile)
    listed = {
        "name": "shop",
        "kind": "api",
        "base_url": "https://example.org",
        "path": "/orders",
        "pagination": {"kind": "none"},
    }
    found = read(tmp_path, {**GOOD, "columns": columns, "source": listed})
    assert isinstance(found, RefusedFile)
    assert "columns 2.from: a text is expected, not a list" in found.reason
