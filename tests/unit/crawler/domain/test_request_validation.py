"""The fields of a request for a run, and what becomes of a request with wrong ones."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.crawler.domain import request_validation
from services.crawler.domain.request_validation import validate_request
from shared.events.models import REVISION, CrawlRequest

KNOWN = ("albums", "comments", "posts", "stories")
AT = datetime(2026, 11, 24, 6, tzinfo=UTC)
DERIVED = "r-20261124T060000Z-0123abcd"


def validated(document: dict[str, Any]) -> CrawlRequest:
    return validate_request(document, derived_id=DERIVED, requested_at=AT, known=KNOWN)


def test_only_the_datasets_are_needed() -> None:
    assert validated({"datasets": ["posts"]}) == CrawlRequest(
        run_id=DERIVED, datasets=("posts",), requested_at=AT
    )


def test_every_allowed_field_is_stored() -> None:
    accepted = validated(
        {
            "version": 1,
            "revision": 0,
            "run_id": "2026-11-23-daily",
            "datasets": ["posts", "stories", "posts"],
            "requested_by": "airflow",
            "parameters": {"stories": {"limit": 500}, "posts": {}},
            "formats": ["csv", "parquet", "csv"],
        }
    )
    assert accepted.refused is None
    assert accepted.run_id == "2026-11-23-daily"
    assert accepted.datasets == ("posts", "stories")
    assert accepted.parameters["stories"].limit == 500
    assert accepted.parameters["posts"].limit is None
    assert accepted.formats == ("csv", "parquet")


def test_null_counts_as_absent() -> None:
    fields = ("run_id", "requested_by", "parameters", "formats", "replay_of", "from_stage", "version")
    accepted = validated({"datasets": ["posts"], **dict.fromkeys(fields)})
    assert accepted == validated({"datasets": ["posts"]})


def test_no_formats_means_no_exports() -> None:
    assert validated({"datasets": ["posts"], "formats": []}).formats == ()


def test_fields_of_a_newer_revision_are_ignored() -> None:
    assert validated({"revision": REVISION + 1, "datasets": ["posts"], "colour": "red"}).refused is None


BAD_LIMITS: list[Any] = [-1, "5", 1.5, True, [], 10**12 + 1, 10**40]
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "datasets: missing; name at least one of albums, comments, posts, stories"),
    ({"datasets": None}, "datasets: missing"),
    ({"datasets": []}, "datasets: the list is empty"),
    ({"datasets": "posts"}, "datasets: a list of names is expected, not 'posts'"),
    ({"datasets": {"posts": 1}}, "datasets: a list of names is expected"),
    ({"datasets": ["posts", 7]}, "datasets: a list of names is expected"),
    ({"datasets": [None]}, "datasets: a list of names is expected"),
    ({"datasets": ["potss"]}, "datasets: 'potss' is not known; known are albums, comments, posts, stories"),
    ({"datasets": ["a", "b"]}, "datasets: 'a', 'b' are not known"),
    ({"datasets": ["posts; DROP TABLE"]}, "datasets: 'posts; DROP TABLE' is not known"),
    (
        {"datasets": ["posts"], "run_id": ""},
        "run_id: '' is no run id: 1 to 128 letters, digits, '.', '_' or '-'",
    ),
    ({"datasets": ["posts"], "run_id": 7}, "run_id: 7 is no run id"),
    ({"datasets": ["posts"], "run_id": True}, "run_id: True is no run id"),
    ({"datasets": ["posts"], "run_id": ["a"]}, "run_id: ['a'] is no run id"),
    ({"datasets": ["posts"], "run_id": "../etc"}, "run_id: '../etc' is no run id"),
    ({"datasets": ["posts"], "run_id": "-a"}, "run_id: '-a' is no run id"),
    ({"datasets": ["posts"], "run_id": "a\n"}, r"run_id: 'a\n' is no run id"),
    ({"datasets": ["posts"], "run_id": "é"}, "run_id: 'é' is no run id"),
    ({"datasets": ["posts"], "run_id": "x" * 129}, "is no run id"),
    (
        {"datasets": ["posts"], "requested_by": 7},
        "requested_by: a text of at most 4096 characters is expected",
    ),
    ({"datasets": ["posts"], "requested_by": "x" * 5000}, "requested_by: a text of at most"),
    ({"datasets": ["posts"], "parameters": []}, "parameters: an object of datasets is expected, not []"),
    ({"datasets": ["posts"], "parameters": {"potss": {}}}, "parameters: 'potss' is not known"),
    (
        {"datasets": ["posts"], "parameters": {"stories": {}}},
        "parameters: stories is not among the datasets asked for",
    ),
    ({"datasets": ["posts"], "parameters": {"posts": 5}}, "parameters.posts: an object is expected, not 5"),
    (
        {"datasets": ["posts"], "parameters": {"posts": {"size": 5}}},
        "parameters.posts: 'size' is not a parameter",
    ),
    *[
        (
            {"datasets": ["posts"], "parameters": {"posts": {"limit": limit}}},
            "parameters.posts.limit: an integer from 0",
        )
        for limit in BAD_LIMITS
    ],
    ({"datasets": ["posts"], "formats": "csv"}, "formats: a list of names is expected, not 'csv'"),
    ({"datasets": ["posts"], "formats": [1]}, "formats: a list of names is expected"),
    (
        {"datasets": ["posts"], "formats": ["docx"]},
        "formats: 'docx' is not supported in this version; supported are",
    ),
    ({"datasets": ["posts"], "formats": ["docx", "csv"]}, "formats: 'docx' is not supported in this version"),
    (
        {"datasets": ["posts"], "replay_of": "r", "from_stage": "loader"},
        "replay_of: run r is not known",
    ),
    ({"datasets": ["posts"], "from_stage": "loader"}, "replay_of: missing; from_stage names where"),
    ({"replay_of": 5, "from_stage": "loader"}, "replay_of: 5 is no run id"),
    ({"replay_of": "../x", "from_stage": "loader"}, "replay_of: '../x' is no run id"),
    ({"replay_of": "r"}, "from_stage: one of processor, converter, loader, s3sink is expected, not None"),
    ({"replay_of": "r", "from_stage": "crawler"}, "is expected, not 'crawler'"),
    ({"replay_of": "r", "from_stage": ["loader"]}, "is expected, not ['loader']"),
    ({"datasets": ["posts"], "dataset": "posts"}, "unknown fields: 'dataset'; known are datasets, formats"),
    *[
        ({"datasets": ["posts"], "version": v}, f"version: {v!r} is not known, only 1")
        for v in (0, 2, "1", True, 1.5)
    ],
    ({"datasets": ["posts"], "revision": -1}, "revision: -1 is not an integer from 0 up"),
    ({"datasets": ["posts"], "revision": "1"}, "revision: '1' is not an integer"),
]


@pytest.mark.parametrize(("document", "reason"), REFUSED, ids=[str(n) for n in range(len(REFUSED))])
def test_a_bad_request_is_a_rejected_run_with_a_reason(document: dict[str, Any], reason: str) -> None:
    refused = validated(document)
    assert refused.refused is not None
    assert reason in refused.refused
    assert refused.datasets == ()


def test_a_bad_id_is_replaced_and_quoted_shortened() -> None:
    refused = validated({"datasets": ["posts"], "run_id": "x" * 5000})
    assert refused.run_id == DERIVED
    assert refused.refused is not None
    assert "xxx…" in refused.refused
    assert f"this run is named {DERIVED} instead" in refused.refused
    assert len(refused.refused) < 400


def test_every_error_is_reported_at_once() -> None:
    refused = validated({"run_id": "/", "datasets": ["x"], "formats": ["y"], "z": 1}).refused
    assert refused is not None
    assert [part.split(":")[0] for part in refused.split("; ") if ":" in part] == [
        "unknown fields",
        "run_id",
        "datasets",
        "formats",
    ]


def test_a_hostile_request_has_a_short_reason() -> None:
    refused = validated({"datasets": ["x" * 1000] * 2 + [str(n) for n in range(10_000)]})
    assert refused.refused is not None
    assert len(refused.refused) <= 1000


def test_the_formats_that_there_are_make_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_validation, "SUPPORTED_FORMATS", ("a", "b", "c"))
    refused = validated({"datasets": ["posts"], "formats": ["d"]}).refused
    assert refused == "formats: 'd' is not supported in this version; supported are a, b and c"
