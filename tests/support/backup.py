"""A backup as docs/backup.md makes it, by clients of PostgreSQL and S3; nothing of the product is used."""

import shutil
import subprocess
from pathlib import Path

from deploy.local.postgres_versions import KNOWN
from tests.support.pipeline import Pipeline

DUMP = "postgres.dump"


def postgres_version() -> str:
    """The newest server that `pg_dump` of this machine can read: its own version."""
    program = shutil.which("pg_dump")
    assert program is not None, "pg_dump is not installed (apt-get install postgresql-client)"
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    version = shown.split()[2].partition(".")[0]
    assert version in KNOWN, f"{shown.strip()}: the local stack runs PostgreSQL {', '.join(KNOWN)}"
    return version


def dump(pipeline: Pipeline, folder: Path) -> None:
    """PostgreSQL as it is at one moment, while everything runs."""
    subprocess.run(
        ["pg_dump", "-Fc", "-f", folder / DUMP, "-d", pipeline.environment["ONPOINT_POSTGRES_DSN"]],
        check=True,
    )


def fetch_buckets(pipeline: Pipeline, folder: Path) -> None:
    """The buckets, after PostgreSQL: what it names is then among them."""
    for bucket in (pipeline.staging_bucket, pipeline.lake_bucket):
        _fetch(pipeline, bucket, folder / bucket, documents=True)
        # A document that was listed names files that may have come after their part of the list.
        _fetch(pipeline, bucket, folder / bucket, documents=False)


def restore(pipeline: Pipeline, folder: Path) -> None:
    """Into servers whose services do not run, in the place of all that is there."""
    dsn = pipeline.environment["ONPOINT_POSTGRES_DSN"]
    server, _, database = dsn.rpartition("/")
    for statement in (f'DROP DATABASE "{database}"', f'CREATE DATABASE "{database}"'):
        subprocess.run(["psql", "-q", "-d", f"{server}/postgres", "-c", statement], check=True)
    subprocess.run(["pg_restore", "--no-owner", "--exit-on-error", "-d", dsn, folder / DUMP], check=True)
    for bucket in (pipeline.staging_bucket, pipeline.lake_bucket):
        for file in (folder / bucket).rglob("*"):
            if file.is_file():
                key = file.relative_to(folder / bucket).as_posix()
                pipeline.s3.put_object(Bucket=bucket, Key=key, Body=file.read_bytes())


def _fetch(pipeline: Pipeline, bucket: str, folder: Path, *, documents: bool) -> None:
    """Each object that the folder lacks; those that name others, JSON documents, only if asked."""
    for key in list(pipeline.keys(bucket)):
        target = folder / key
        if target.exists() or (key.endswith(".json") and not documents):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(pipeline.read(f"s3://{bucket}/{key}"))
