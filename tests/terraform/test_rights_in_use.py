"""The pipeline runs with the rights of the plan's policies and none more, and needs the rights that they give."""

import asyncio
import json
import os
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from deploy.local.stack import LocalStack
from shared.events.topology import SERVICES
from shared.settings.object_store import ObjectStoreSettings
from shared.storage.errors import StorageUnavailableError
from shared.storage.object_store import open_s3
from tests.support.crawler import environment_for
from tests.support.records import ROOT
from tests.support.service_processes import ServiceProcesses
from tests.support.source import SourceServer
from tests.support.tables import FORMATS
from tests.terraform.guarded_store import GuardedStore
from tests.terraform.plan import Plan
from tests.terraform.rights import policies_of

pytestmark = [pytest.mark.terraform, pytest.mark.timeout(900)]

DATASET = """\
name: {kind}_albums
source:
  name: shop
  kind: api
  base_url: "{url}"
  path: /albums
  pagination: {{kind: page, page_param: _page, size_param: _limit, size: 100, total_header: X-Total-Count, first: 1}}
  requests_per_second: 0
table: onpoint_{kind}_albums
key: [id]
columns:
  - {{name: id, type: int32}}
  - {{name: title, type: string}}
lake: {{table: {kind}}}
formats: [parquet]
"""
"""Table formats read and replace metadata of their own."""

UNUSED_HERE = {
    # After a killed process, or when a dead letter is replayed.
    "crawler": {"s3:DeleteObject staging"},
    "processor": {"s3:DeleteObject staging"},
    "converter": {"s3:DeleteObject staging"},
    # Where PostgreSQL refuses rows.
    "loader": {"s3:PutObject staging"},
    # Where a sweep finds what nothing names.
    "quality": {"s3:DeleteObject lake", "s3:GetObject lake"},
}


@pytest.fixture
def processes(components: LocalStack, tmp_path: Path) -> Iterator[ServiceProcesses]:
    with ServiceProcesses(components, tmp_path) as processes:
        yield processes


@pytest.fixture
def datasets(tmp_path: Path, source: SourceServer) -> Path:
    folder = tmp_path / "datasets"
    folder.mkdir()
    for kind in FORMATS:
        (folder / f"{kind}.yaml").write_text(DATASET.format(kind=kind, url=source.url), encoding="utf-8")
    return folder


@pytest.fixture
async def store(components: LocalStack, dev: Plan) -> AsyncIterator[GuardedStore]:
    found = components.environment()
    arns = {
        found[f"ONPOINT_{role}_BUCKET"]: dev.one(f"module.lake.module.{role.lower()}.aws_s3_bucket.this")[
            "bucket"
        ]
        for role in ("LAKE", "STAGING")
    }
    arns = {bucket: f"arn:aws:s3:::{name}" for bucket, name in arns.items()}
    async with GuardedStore(found["ONPOINT_S3_ENDPOINT_URL"], arns, policies_of(dev)) as store:
        yield store


async def test_a_run_its_replay_and_its_sweep_need_no_right_more(
    processes: ServiceProcesses,
    store: GuardedStore,
    components: LocalStack,
    postgres_dsn: str,
    source: SourceServer,
    datasets: Path,
    tmp_path: Path,
) -> None:
    settings = {
        "ONPOINT_DATASETS_DIR": str(datasets),
        "ONPOINT_CRAWL_ALLOW_HOSTS": source.allow,
        **environment_for(source.url),
        "ONPOINT_POSTGRES_DSN": postgres_dsn,
    }
    as_console = {
        **os.environ,
        **components.environment(),
        # No stack of its own: the services here are the test's.
        "ONPOINT_HOME": str(tmp_path / "none"),
        "ONPOINT_DATASETS_DIR": str(datasets),
        "ONPOINT_POSTGRES_DSN": postgres_dsn,
        "ONPOINT_S3_ENDPOINT_URL": store.urls["console"],
    }
    await onpoint(as_console, "migrate")
    running = [
        processes.start(
            name, **settings, ONPOINT_S3_ENDPOINT_URL=store.urls[name], ONPOINT_SWEEP_INTERVAL_S="0"
        )
        for name in SERVICES
    ]
    for service in running:
        await service.ready(within_s=180)
    run_id = f"rights-{uuid.uuid4().hex[:8]}"
    completed = json.loads(
        await onpoint(
            as_console,
            "run",
            "users",
            "delta_albums",
            "iceberg_albums",
            "--run-id",
            run_id,
            "--wait",
            "--timeout",
            "240",
            "--json",
        )
    )
    assert completed["status"] == "succeeded"
    await onpoint(as_console, "replay", run_id, "--from", "processor", "--wait", "--timeout", "240")
    await onpoint(as_console, "verify", run_id)
    await running[-1].stop()
    swept = processes.start(
        "quality",
        **settings,
        ONPOINT_S3_ENDPOINT_URL=store.urls["quality"],
        ONPOINT_SWEEP_INTERVAL_S="1",
        ONPOINT_STAGING_TTL_HOURS="0",
    )
    await swept.ready(within_s=180)
    async with asyncio.timeout(120):
        while not any(action == "s3:DeleteObject" for action, _ in store.used["quality"]):
            await asyncio.sleep(0.2)

    assert store.denied == {}
    for account in SERVICES:
        assert granted(store, account) - used(store, account) <= UNUSED_HERE.get(account, set()), account


async def test_a_service_is_refused_what_is_anothers(
    store: GuardedStore, s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)

    async def refused(account: str, bucket: str, key: str) -> bool:
        settings = ObjectStoreSettings(
            s3_endpoint_url=store.urls[account],
            staging_bucket=s3_environment["ONPOINT_STAGING_BUCKET"],
            lake_bucket=s3_environment["ONPOINT_LAKE_BUCKET"],
        )
        try:
            await open_s3(settings, getattr(settings, f"{bucket}_bucket")).put(key, b"x")
        except StorageUnavailableError as error:
            return "403" in str(error) or "AccessDenied" in str(error)
        return False

    assert await refused("crawler", "lake", "posts/x.parquet")
    assert await refused("processor", "staging", "runs/r/posts/loader/x.json")
    assert await refused("converter", "lake", "_runs/r.json")
    assert await refused("s3sink", "lake", "exports/r/posts/csv/x.csv")
    assert await refused("quality", "staging", "runs/r/posts/processor/x.json")
    assert not await refused("converter", "lake", "exports/r/posts/csv/x.csv")


async def onpoint(environment: dict[str, str], *words: str) -> str:
    """What the command prints. Fails the test where it fails."""
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "console", *words),
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await command.communicate()
    assert command.returncode == 0, (
        f"onpoint {' '.join(words)}:\n{out.decode()[-2000:]}\n{err.decode()[-2000:]}"
    )
    return out.decode()


def used(store: GuardedStore, account: str) -> set[str]:
    return {f"{action} {bucket_of(arn)}" for action, arn in store.used[account]}


def granted(store: GuardedStore, account: str) -> set[str]:
    """Of the actions that a run can show: who aborts uploads shows it at failures only."""
    shown = {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"}
    return {
        f"{action} {bucket_of(arn)}"
        for statement in store.policies[account]
        if statement["Effect"] == "Allow"
        for action in statement["Action"]
        if action in shown
        for arn in statement["Resource"]
    }


def bucket_of(arn: str) -> str:
    return "lake" if "-lake-" in arn else "staging"
