"""Every key of the two buckets, built in this one place. Inputs are validated names and hashes."""

import hashlib
import re
from datetime import datetime
from urllib.parse import quote

from shared.events.ids import is_dataset_name, is_run_id

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def request_key(run_id: str) -> str:
    return f"runs/{_run(run_id)}/request.json"


def cancel_key(run_id: str) -> str:
    return f"runs/{_run(run_id)}/cancelled"


def dataset_prefix(run_id: str, dataset: str) -> str:
    return f"runs/{_run(run_id)}/{_dataset(dataset)}/"


def plan_key(run_id: str, dataset: str) -> str:
    return f"{dataset_prefix(run_id, dataset)}plan.json"


def plan_piece_key(run_id: str, dataset: str, sha256: str) -> str:
    """A part of a plan that is too long for one object. It stays as long as the plan."""
    return f"{dataset_prefix(run_id, dataset)}plan/{_name(sha256)}.jsonl"


def dataset_key(run_id: str, dataset: str) -> str:
    """The dataset's file as it was when the run was accepted."""
    return f"{dataset_prefix(run_id, dataset)}dataset.json"


def columns_key(dataset: str, version: int) -> str:
    """A version of a dataset's columns. It is outside of every run: all runs go by the same versions."""
    return f"schemas/{_dataset(dataset)}/{version:06d}.json"


def marks_prefix(dataset: str) -> str:
    """How far the complete runs of a dataset reached. It is outside of every run, and stays."""
    return f"marks/{_dataset(dataset)}/"


def mark_key(dataset: str, requested_at: datetime, run_id: str) -> str:
    """In the order of the runs' requests."""
    return f"{marks_prefix(dataset)}{requested_at:%Y%m%dT%H%M%S.%f}-{_run(run_id)}.json"


def stage_prefix(run_id: str, dataset: str, stage: str) -> str:
    return f"{dataset_prefix(run_id, dataset)}{_name(stage)}/"


def manifest_key(run_id: str, dataset: str, stage: str, batch_id: str) -> str:
    return f"{dataset_prefix(run_id, dataset)}{_name(stage)}/{_name(batch_id)}.json"


def artifact_key(run_id: str, dataset: str, stage: str, sha256: str, extension: str) -> str:
    return f"{dataset_prefix(run_id, dataset)}{_name(stage)}/{_name(sha256)}.{_name(extension)}"


def checkpoint_key(run_id: str, dataset: str, batch_id: str) -> str:
    """What a crawl batch has so far. Named like an artifact, so that it is swept like one that no manifest names."""
    name = hashlib.sha256(f"checkpoint {batch_id}".encode()).hexdigest()
    return artifact_key(run_id, dataset, "crawler", name, "checkpoint")


def combination_key(run_id: str, dataset: str, name: str) -> str:
    """How far the files of a combination are. Swept as a checkpoint is."""
    name = hashlib.sha256(f"combination {name}".encode()).hexdigest()
    return artifact_key(run_id, dataset, "converter", name, "checkpoint")


def export_key(run_id: str, dataset: str, file_format: str, name: str, extension: str) -> str:
    return f"exports/{_run(run_id)}/{_dataset(dataset)}/{_name(file_format)}/{_name(name)}.{_name(extension)}"


def combined_key(run_id: str, dataset: str, file_format: str, name: str, extension: str) -> str:
    """A file that has the rows of many batches, or the manifest that names them."""
    folder = f"exports/{_run(run_id)}/{_dataset(dataset)}/{_name(file_format)}/combined"
    return f"{folder}/{_name(name)}.{_name(extension)}"


def lake_key(dataset: str, requested_at: datetime, name: str) -> str:
    folder = f"year={requested_at:%Y}/month={requested_at:%m}/day={requested_at:%d}/hour={requested_at:%H}"
    return f"{_dataset(dataset)}/{folder}/{_name(name)}.parquet"


def partitioned_lake_key(dataset: str, requested_at: datetime, name: str, folder: str) -> str:
    """In a folder of the dataset's own partitions. The name begins with the hour of the run, which the sweep has to know."""
    if any(part in {"", ".", ".."} for part in folder.split("/")):
        raise ValueError(f"{folder!r} cannot be a folder of the lake")
    return f"{_dataset(dataset)}/{folder}/{requested_at:%Y%m%d%H}-{_name(name)}.parquet"


def compacted_key(folder: str, name: str) -> str:
    """Of an object that has the rows of others, in their folder: the dataset's, or a partition of it."""
    dataset, *partitions = folder.split("/")
    if {"", ".", ".."} & set(partitions):
        raise ValueError(f"{folder!r} is no folder of a dataset")
    return "/".join([_dataset(dataset), *partitions, f"{_name(name)}.parquet"])


def dataset_listing_key(dataset: str) -> str:
    return f"_datasets/{_dataset(dataset)}.json"


def cdc_key(table: str, at: datetime, first_offset: int, last_offset: int) -> str:
    """Changes of a table. The range of offsets is the name, so that gaps and overlaps can be seen by a listing."""
    return f"cdc/{_table(table)}/{at:%Y/%m/%d/%H}/{first_offset}-{last_offset}.parquet"


def listing_key(run_id: str) -> str:
    return f"_runs/{_run(run_id)}.json"


def _run(run_id: str) -> str:
    if not is_run_id(run_id):
        raise ValueError(f"{run_id!r} is not a run id")
    return run_id


def _dataset(dataset: str) -> str:
    if not is_dataset_name(dataset):
        raise ValueError(f"{dataset!r} is not a dataset name")
    return dataset


def _table(name: str) -> str:
    """A table may have any name: what is no letter, digit or one of `_.-` is written as its bytes."""
    return quote(name, safe="")


def _name(name: str) -> str:
    if not _SAFE_NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be part of a key")
    return name
