"""The source records of the end-to-end tests, and what each must become: written apart from the product's own code."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests" / "data"

COLUMNS: dict[str, dict[str, str]] = {
    "posts": {"id": "id", "user_id": "userId", "title": "title", "body": "body"},
    "comments": {"id": "id", "post_id": "postId", "name": "name", "email": "email", "body": "body"},
    "albums": {"id": "id", "user_id": "userId", "title": "title"},
    "photos": {
        "id": "id",
        "album_id": "albumId",
        "title": "title",
        "url": "url",
        "thumbnail_url": "thumbnailUrl",
    },
    "todos": {"id": "id", "user_id": "userId", "title": "title", "completed": "completed"},
    "users": {
        "id": "id",
        "name": "name",
        "username": "username",
        "email": "email",
        "address_street": "address.street",
        "address_suite": "address.suite",
        "address_city": "address.city",
        "address_zipcode": "address.zipcode",
        "address_geo_lat": "address.geo.lat",
        "address_geo_lng": "address.geo.lng",
        "phone": "phone",
        "website": "website",
        "company_name": "company.name",
        "company_catch_phrase": "company.catchPhrase",
        "company_bs": "company.bs",
    },
    "stories": {
        "id": "id",
        "type": "type",
        "by": "by",
        "time": "time",
        "title": "title",
        "url": "url",
        "text": "text",
        "score": "score",
        "descendants": "descendants",
    },
}
"""Column → path in the source record."""


@dataclass(frozen=True)
class TestData:
    folder: Path
    records: dict[str, list[dict[str, Any]]]

    __test__ = False

    def expected(self, dataset: str) -> list[tuple[Any, ...]]:
        """The rows of a dataset in source order, one tuple per record in the order of `COLUMNS`."""
        return [
            tuple(at(record, path) for path in COLUMNS[dataset].values()) for record in self.records[dataset]
        ]

    def with_stories(self, count: int) -> "TestData":
        """At least `count` stories: where the records have fewer, the same again under ids of their own."""
        stories = self.records["stories"]
        free = max(story["id"] for story in stories) + 1
        more = [{**stories[n % len(stories)], "id": free + n} for n in range(count - len(stories))]
        return TestData(self.folder, {**self.records, "stories": [*stories, *more]})


def load_test_data() -> TestData:
    """The committed records, or those of the folder that `ONPOINT_TEST_DATA` names."""
    folder = Path(os.environ.get("ONPOINT_TEST_DATA") or SAMPLE)
    records = json.loads((folder / "jsonplaceholder.json").read_text(encoding="utf-8"))
    with (folder / "hackernews-stories.jsonl").open(encoding="utf-8", newline="\n") as lines:
        records["stories"] = [json.loads(line) for line in lines if line.strip()]
    return TestData(folder, records)


def at(record: dict[str, Any], path: str) -> Any:
    value: Any = record
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value
