"""Derived identifiers: never random, so that doing a thing again gives the same name (docs/adr/0002)."""

import hashlib
import json
import re
from datetime import datetime

RUN_ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
DATASET_PATTERN = r"[a-z][a-z0-9_]{0,62}"
BATCH_ID_PATTERN = r"[0-9a-f]{32}"
SHA256_PATTERN = r"[0-9a-f]{64}"

_RUN_ID = re.compile(RUN_ID_PATTERN)
_DATASET = re.compile(DATASET_PATTERN)


def derive(*arguments: str | int) -> str:
    """First 32 hex digits of the SHA-256 of the compact JSON array of the arguments, in UTF-8."""
    text = json.dumps(arguments, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def batch_id(run_id: str, dataset: str, sequence: int) -> str:
    return derive(run_id, dataset, sequence)


def plan_unit_id(run_id: str, dataset: str) -> str:
    """Names the crawl unit that makes a dataset's plan; never the id of a batch."""
    return derive(run_id, dataset, "plan")


def combination_id(run_id: str, dataset: str, file_format: str) -> str:
    """Names the combined exports of a dataset of a run in a format; never the id of a batch."""
    return derive(run_id, dataset, file_format)


def run_id_of_record(
    topic: str, partition: int, offset: int, timestamp_ms: int, appended_at: datetime
) -> str:
    """The id of a run whose request named none: from where and when its record was appended."""
    digest = derive(topic, partition, offset, timestamp_ms)[:8]
    return f"r-{appended_at:%Y%m%dT%H%M%SZ}-{digest}"


def is_run_id(value: str) -> bool:
    return _RUN_ID.fullmatch(value) is not None


def is_dataset_name(value: str) -> bool:
    return _DATASET.fullmatch(value) is not None
