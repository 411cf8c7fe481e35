"""Names and identifiers in lineage events: derived, so that an event that is sent again is the same event. Pure."""

import uuid
from dataclasses import dataclass
from urllib.parse import urlsplit

from shared.datasets.model import Dataset
from shared.events.topology import Stage

_SPACE = uuid.uuid5(uuid.NAMESPACE_URL, "onpoint:lineage")

RUN_JOB = "run"
"""The job whose runs are the runs of the pipeline."""


def run_uuid(run_id: str) -> str:
    """OpenLineage asks for UUIDs."""
    return str(uuid.uuid5(_SPACE, run_id))


def batch_uuid(batch_id: str, stage: Stage) -> str:
    return str(uuid.uuid5(_SPACE, f"{stage}:{batch_id}"))


def stage_job(dataset: str, stage: Stage) -> str:
    return f"{dataset}.{stage}"


@dataclass(frozen=True, slots=True)
class Place:
    """An OpenLineage dataset, without its facets."""

    namespace: str
    name: str
    storage: str | None = None
    """The format of its files, where it has some."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the data of this installation is, by OpenLineage's rules for names."""

    staging_bucket: str
    lake_bucket: str
    database: str
    """`host:port/name`, without user and password."""

    def source(self, dataset: str, frozen: Dataset | None) -> Place:
        if frozen is None:
            return Place("onpoint", f"source of {dataset}")
        parts = urlsplit(str(frozen.source.base_url))
        host = parts.hostname or ""
        at = f"{host}:{parts.port}" if parts.port else host
        path = parts.path.rstrip("/") + (frozen.source.path or "")
        return Place(f"{parts.scheme}://{at}", path or "/")

    def raw(self, dataset: str) -> Place:
        return Place(f"s3://{self.staging_bucket}", f"{dataset}/crawler", "jsonl")

    def clean(self, dataset: str) -> Place:
        return Place(f"s3://{self.staging_bucket}", f"{dataset}/processor", "parquet")

    def export(self, dataset: str, name: str) -> Place:
        return Place(f"s3://{self.lake_bucket}", f"exports/{dataset}/{name}", name)

    def lake(self, dataset: str) -> Place:
        return Place(f"s3://{self.lake_bucket}", dataset, "parquet")

    def table(self, table: str) -> Place:
        server, _, name = self.database.partition("/")
        return Place(f"postgres://{server}", f"{name}.public.{table}")


def database_of(dsn: str) -> str:
    """`host:port/name` of a PostgreSQL address; what it leaves out is PostgreSQL's default."""
    parts = urlsplit(dsn)
    host = parts.hostname or "localhost"
    return f"{host}:{parts.port or 5432}/{parts.path.strip('/') or parts.username or 'postgres'}"
