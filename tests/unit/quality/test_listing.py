import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.quality.domain.listing import KINDS, Kind, ListedFile, listing
from shared.events.models import DatasetSummary, RunCompleted

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
NAMES = ("comments", "posts", "users")


def completed(datasets: Sequence[str]) -> RunCompleted:
    return RunCompleted(
        run_id="r",
        status="partial",
        reason="a page is missing",
        requested_at=NOON,
        started_at=NOON,
        finished_at=NOON,
        datasets={name: DatasetSummary() for name in datasets},
    )


async def document(datasets: Sequence[str], files: Sequence[ListedFile]) -> dict[str, dict[str, object]]:
    async def told() -> AsyncIterator[ListedFile]:
        for file in files:
            yield file

    text = b"".join([piece async for piece in listing(completed(datasets), told())])
    found: dict[str, dict[str, object]] = json.loads(text)
    return found


def file(dataset: str, kind: Kind, number: int) -> ListedFile:
    name = "parquet" if kind == "objects" else "csv.gz"
    return ListedFile(dataset, kind, f"s3://lake/{dataset}/{number}", name, 10, 100, "0" * 64)


async def test_a_listing_names_what_the_run_left_in_the_lake() -> None:
    assert await document(["posts"], [file("posts", "objects", 1), file("posts", "exports", 2)]) == {
        "run_id": "r",
        "status": "partial",
        "requested_at": "2026-11-23T12:00:00.000000Z",
        "finished_at": "2026-11-23T12:00:00.000000Z",
        "superseded_by": None,
        "datasets": {
            "posts": {
                "objects": [{"uri": "s3://lake/posts/1", "rows": 10, "bytes": 100, "sha256": "0" * 64}],
                "exports": [
                    {
                        "uri": "s3://lake/posts/2",
                        "format": "csv",
                        "rows": 10,
                        "bytes": 100,
                        "sha256": "0" * 64,
                    }
                ],
            }
        },
    }


@given(
    st.sets(st.sampled_from(NAMES)),
    st.dictionaries(st.sampled_from(NAMES), st.tuples(*[st.integers(0, 3)] * 3)),
)
async def test_every_dataset_of_the_run_is_listed_with_all_its_files(
    datasets: set[str], counts: dict[str, tuple[int, int, int]]
) -> None:
    files: list[ListedFile] = []
    for name in sorted(counts):
        for kind, count in zip(KINDS, counts[name], strict=True):
            files += [file(name, kind, number) for number in range(count)]
    found = (await document(sorted(datasets), files))["datasets"]
    assert set(found) == datasets
    for name, lists in found.items():
        assert isinstance(lists, dict)
        found_counts = (len(lists["objects"]), len(lists["exports"]), len(lists.get("combined", ())))
        assert found_counts == counts.get(name, (0, 0, 0))
        assert ("combined" in lists) == (found_counts[2] > 0)


@pytest.mark.parametrize("datasets", [(), ("posts",)])
async def test_a_run_without_files_is_listed_too(datasets: tuple[str, ...]) -> None:
    expected: dict[str, object] = {name: {"objects": [], "exports": []} for name in datasets}
    assert (await document(datasets, []))["datasets"] == expected


async def test_a_listing_names_the_run_that_superseded_its_own() -> None:
    async def none() -> AsyncIterator[ListedFile]:
        for file_ in list[ListedFile]():
            yield file_

    text = b"".join([piece async for piece in listing(completed(["posts"]), none(), "newer")])
    assert json.loads(text)["superseded_by"] == "newer"
