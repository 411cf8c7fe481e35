"""Datasets whose files write the request, for tests."""

from collections.abc import Mapping
from typing import Any

from shared.datasets.model import Dataset

TOKEN = "tok-4711-very-secret"  # noqa: S105 - of no one
BEARER = {"kind": "bearer", "token": {"env": "SHOP_TOKEN"}}
CURSOR = {"kind": "cursor", "next": {"path": "next"}, "more": {"path": "has_more", "equals": True}}


def api_dataset(url: str, name: str = "things", **source: Any) -> Dataset:
    """A dataset `things` with an integer `id`; other fields of the file by the name `dataset`."""
    more: Mapping[str, Any] = source.pop("dataset", {})
    return Dataset.model_validate(
        {
            "name": name,
            "source": {
                "name": "shop",
                "kind": "api",
                "base_url": url,
                "limits": {"requests_per_second": 0},
                "request": {"path": "/things"},
                **source,
            },
            "table": f"onpoint_{name}",
            "key": ["id"],
            "columns": [{"name": "id", "type": "int64"}],
            **more,
        }
    )


def cursor_dataset(url: str, **source: Any) -> Dataset:
    """A bearer token, pages of `data`, a cursor in the body."""
    return api_dataset(
        url,
        **{
            "auth": BEARER,
            "request": {"path": "/things", "query": {"size": 2, "cursor": "{cursor}"}},
            "records": {"path": "data"},
            "pagination": CURSOR,
            **source,
        },
    )
