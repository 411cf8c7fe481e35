"""The main job in containers: the same content as without them, through scaling, a crash and an upgrade."""

import asyncio
import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import LocalStack
from shared.events.topology import SERVICES
from shared.runtime import memory
from tests.compose import images
from tests.compose.cluster import ROOT, VOLUMES, Cluster, crawler_settings
from tests.compose.commands import run
from tests.compose.conftest import NEXT_VERSION, VERSION, Report
from tests.compose.network import Network
from tests.support.pipeline import Pipeline
from tests.support.records import TestData
from tests.support.source import SourceServer

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1800)]

DATASETS = ("posts", "users", "comments", "todos", "albums", "photos", "stories")
COMPONENTS = ("kafka", "postgres", "seaweedfs")
RUN_S = 180.0
STORIES = 1000
"""Of a run that need not bring all of them: each is a request of its own."""
COLD_START_S = 60.0
IMAGE_WEIGHT_BYTES = 700_000_000
"""Over its base."""


def asked(run_id: str) -> dict[str, Any]:
    """A run of every dataset."""
    return {"run_id": run_id, "datasets": list(DATASETS), "parameters": {"stories": {"limit": STORIES}}}


def expected_rows(test_data: TestData, dataset: str) -> list[tuple[Any, ...]]:
    rows = test_data.expected(dataset)
    return rows[:STORIES] if dataset == "stories" else rows


def new_run(word: str) -> str:
    return f"{word}-{uuid.uuid4().hex[:8]}"


async def assert_all_arrived(
    pipeline: Pipeline, run_id: str, done: dict[str, Any], test_data: TestData, *, in_postgres: bool = True
) -> None:
    assert (done["status"], done["reason"]) == ("succeeded", None)
    for dataset in DATASETS:
        expected = expected_rows(test_data, dataset)
        if in_postgres:
            assert await pipeline.rows(dataset, f"_run_id = '{run_id}'") == expected
        assert pipeline.lake_rows(run_id, dataset) == expected


async def wait_for_batches(pipeline: Pipeline, run_id: str, least: int) -> None:
    async with asyncio.timeout(90):
        while True:
            rows = await pipeline.fetch(
                "SELECT coalesce(sum(batches_done), 0)::bigint AS n FROM onpoint_runs.v_progress WHERE run_id = $1",
                run_id,
            )
            if rows[0]["n"] >= least:
                return
            await asyncio.sleep(0.05)


def test_the_cluster_is_ready_within_a_minute(cluster: Cluster, report: Report) -> None:
    load = os.getloadavg()[0]
    report(f"cold start {cluster.cold_start_s:.1f} s, load of the machine {load:.1f}")
    if load > (os.cpu_count() or 1) * 1.5:
        pytest.skip("the machine is not idle")
    assert cluster.cold_start_s <= COLD_START_S


async def test_a_request_from_this_machine_brings_every_record_value_for_value(
    pipeline: Pipeline, test_data: TestData
) -> None:
    run_id = new_run("outside")
    done = await pipeline.run({"run_id": run_id, "datasets": list(DATASETS)}, within_s=RUN_S)
    assert (done["status"], done["reason"]) == ("succeeded", None)
    for dataset in DATASETS:
        assert await pipeline.rows(dataset) == test_data.expected(dataset)
        assert pipeline.lake_rows(run_id, dataset) == test_data.expected(dataset)


async def test_a_run_without_containers_leaves_the_same_content(
    pipeline: Pipeline, test_data: TestData, tmp_path: Path
) -> None:
    contained, bare = new_run("contained"), new_run("bare")
    await pipeline.run(asked(contained), within_s=RUN_S)
    async with SourceServer(test_data.records) as source:
        with LocalStack(
            tmp_path, ports="free", extra_env=crawler_settings(source.url, source.allow)
        ) as stack:
            other = Pipeline(stack.environment())
            done = await other.run(asked(bare), within_s=RUN_S)
            assert done["status"] == "succeeded"
            for dataset in DATASETS:
                mine, others = (f"_run_id = '{run_id}'" for run_id in (contained, bare))
                assert await pipeline.rows(dataset, mine) == await other.rows(dataset, others)
                assert pipeline.lake_rows(contained, dataset) == other.lake_rows(bare, dataset)
            stack.down(wipe=True)


async def test_a_request_from_inside_the_network_does_the_same(
    cluster: Cluster, pipeline: Pipeline, test_data: TestData
) -> None:
    run_id = new_run("inside")
    producer = "/opt/kafka/bin/kafka-console-producer.sh"
    async with pipeline.completions() as completions:
        cluster.compose(
            "exec", "-T", "kafka", producer, "--bootstrap-server", "kafka:9092", "--topic", "crawl.requested",
            stdin=json.dumps(asked(run_id)) + "\n",
        )  # fmt: skip
        done = await completions.of(run_id, RUN_S)
    await assert_all_arrived(pipeline, run_id, done, test_data)


def test_the_command_line_waits_for_a_run_inside_and_on_this_machine(cluster: Cluster) -> None:
    inside = cluster.compose("run", "--rm", "-T", "onpoint", "run", "users", "--wait", "--json")
    assert json.loads(inside)["status"] == "succeeded"
    outside = subprocess.run(
        [sys.executable, "-m", "console", "run", "users", "--wait", "--json"],
        env={**os.environ, **cluster.client_environment()},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(outside.stdout)["status"] == "succeeded"


def test_the_make_targets_do_what_they_document(cluster: Cluster, test_data: TestData) -> None:
    def make(*arguments: str) -> str:
        return run(
            "make", "--no-print-directory", "-C", str(ROOT), *arguments, env=cluster.environment(VERSION)
        )

    make("compose-up")
    assert all(service in make("compose-ps") for service in (*COMPONENTS, *SERVICES))
    assert "succeeded" in make("compose-run", "ARGS=users")
    cluster.remove_records()
    make("compose-down")
    assert cluster.engine.docker("ps", "--all", "--quiet") == ""
    make("compose-up")
    cluster.serve_records(test_data.folder)
    followed = run(
        "timeout", "5", "make", "-C", str(ROOT), "compose-logs", "SERVICE=loader",
        env=cluster.environment(VERSION), check=False,
    )  # fmt: skip
    assert "loader-1" in followed


def test_no_container_can_do_more_than_it_must(cluster: Cluster) -> None:
    for service in (*COMPONENTS, *SERVICES):
        (container,) = cluster.containers(service)
        status = Path(f"/proc/{container['State']['Pid']}/status").read_text()
        uid = int(re.findall(r"^Uid:\t(\d+)", status, re.MULTILINE)[0])
        assert uid >= (10001 if service in SERVICES else 1), service
        assert set(re.findall(r"^Cap(?:Inh|Prm|Eff|Bnd|Amb):\t(\w+)", status, re.MULTILINE)) == {"0" * 16}
        assert re.findall(r"^NoNewPrivs:\t(\d)", status, re.MULTILINE) == ["1"]
        assert re.findall(r"^Seccomp:\t(\d)", status, re.MULTILINE) == ["2"]
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"], service
        assert host["Memory"] > 0, service
        assert host["NanoCpus"] > 0, service
        for bindings in host["PortBindings"].values():
            assert {binding["HostIp"] for binding in bindings} == {"127.0.0.1"}


def test_a_service_plans_with_the_memory_of_its_container_and_not_of_the_machine(cluster: Cluster) -> None:
    program = "from shared.runtime import memory; found = memory.measure(); print(found.limit_bytes, found.batch_rows())"
    for service in SERVICES:
        (container,) = cluster.containers(service)
        seen, rows = map(int, cluster.compose("exec", "-T", service, "python", "-c", program).split())
        assert seen == container["HostConfig"]["Memory"]
        assert memory.MIN_ROWS < rows < memory.MAX_ROWS


def test_the_image_contains_what_runs_and_no_build_tools(cluster: Cluster) -> None:
    weight = cluster.image_size(f"onpoint:{VERSION}") - cluster.image_size(images.PYTHON)
    assert weight <= IMAGE_WEIGHT_BYTES
    tools = "command -v gcc cc make git pip uv"
    sources = "find /app /opt/onpoint -name '*.py[xi]' -o -name '*.c' -o -name '*.h'"
    assert cluster.compose("exec", "-T", "loader", "bash", "-c", f"{tools}; {sources}") == ""


def test_only_the_crawler_has_a_way_out(cluster: Cluster) -> None:
    for service in SERVICES:
        (container,) = cluster.containers(service)
        networks = {name.removeprefix("onpoint_") for name in container["NetworkSettings"]["Networks"]}
        assert networks == {"data", "control"} | {"crawler": {"sources"}, "processor": {"dask"}}.get(
            service, set()
        )


def test_no_secret_is_in_an_environment_an_argument_or_a_log(cluster: Cluster) -> None:
    words = {
        word
        for file in cluster.secrets.iterdir()
        if file.suffix != ".json"
        for word in re.findall(r"[\w-]{20,}", file.read_text())
    }
    assert len(words) >= 5
    seen = cluster.logs() + "".join(
        json.dumps(cluster.containers(service)) for service in (*COMPONENTS, *SERVICES)
    )
    assert [word for word in words if word in seen] == []


async def test_three_of_each_service_share_the_work(
    cluster: Cluster, pipeline: Pipeline, test_data: TestData
) -> None:
    scale = [flag for service in SERVICES for flag in ("--scale", f"{service}=3")]
    cluster.up("--no-recreate", *scale, *SERVICES)
    for service in SERVICES:
        assert len(cluster.containers(service)) == 3
    run_id = new_run("three")
    done = await pipeline.run(asked(run_id), within_s=RUN_S)
    await assert_all_arrived(pipeline, run_id, done, test_data)
    groups = cluster.compose(
        "exec", "-T", "kafka", "/opt/kafka/bin/kafka-consumer-groups.sh", "--bootstrap-server", "kafka:9092",
        "--describe", "--group", "onpoint-processor", "--members",
    )  # fmt: skip
    assert len(set(re.findall(r"/(\d+\.\d+\.\d+\.\d+)\s", groups))) == 3
    back = [flag for service in SERVICES for flag in ("--scale", f"{service}=1")]
    cluster.up("--no-recreate", *back, *SERVICES)


@pytest.mark.parametrize("service", ["processor", "loader"])
async def test_a_service_that_is_killed_in_the_middle_of_a_run_comes_back_and_nothing_is_missing(
    cluster: Cluster, pipeline: Pipeline, test_data: TestData, service: str
) -> None:
    run_id = new_run("kill")
    async with pipeline.completions() as completions:
        await pipeline.request(asked(run_id))
        await wait_for_batches(pipeline, run_id, 4)
        pid = cluster.kill(service)
        done = await completions.of(run_id, RUN_S)
        again = [value for value in await completions.for_a_while(2) if value["run_id"] == run_id]
    assert len(again) == 1
    cluster.wait_restarted(service, pid)
    await assert_all_arrived(pipeline, run_id, done, test_data)


async def test_every_service_is_upgraded_while_runs_go_on(
    cluster: Cluster, pipeline: Pipeline, test_data: TestData, report: Report
) -> None:
    finished: dict[str, dict[str, Any]] = {}
    upgraded = asyncio.Event()

    async def one_run_after_the_other() -> None:
        while not upgraded.is_set():
            run_id = new_run("upgrade")
            await pipeline.request(asked(run_id))
            finished[run_id] = await completions.of(run_id, 2 * RUN_S)

    async with pipeline.completions() as completions:
        runs = asyncio.create_task(one_run_after_the_other())
        for service in SERVICES:
            await asyncio.sleep(2)
            taken_s = await asyncio.to_thread(cluster.up, "--no-deps", service, version=NEXT_VERSION)
            report(f"{service} upgraded in {taken_s:.1f} s")
        upgraded.set()
        await runs
        seen = [value["run_id"] for value in await completions.for_a_while(2)]
    for service in SERVICES:
        (container,) = cluster.containers(service)
        assert container["Config"]["Image"] == f"onpoint:{NEXT_VERSION}"
        assert container["State"]["Health"]["Status"] == "healthy"
    report(f"{len(finished)} runs meanwhile")
    for run_id, done in finished.items():
        assert seen.count(run_id) == 1
        await assert_all_arrived(pipeline, run_id, done, test_data, in_postgres=False)
    for dataset in DATASETS:
        assert await pipeline.rows(dataset) == test_data.expected(dataset)


def test_the_command_line_in_the_network_finds_everything_where_it_belongs(cluster: Cluster) -> None:
    found = json.loads(cluster.compose("run", "--rm", "-T", "onpoint", "verify", "--json"))
    assert found["violations"] == []


def test_nothing_was_killed_for_memory_and_nothing_restarted_but_what_was_killed(
    cluster: Cluster, report: Report
) -> None:
    for service in (*COMPONENTS, *SERVICES):
        (container,) = cluster.containers(service)
        assert not container["State"]["OOMKilled"], service
        assert container["RestartCount"] == 0, service
    report(cluster.memory())


async def test_a_copy_of_the_volumes_is_a_backup(
    cluster: Cluster, pipeline: Pipeline, test_data: TestData, tmp_path: Path
) -> None:
    before = sorted(pipeline.keys(pipeline.lake_bucket))
    cluster.remove_records()
    cluster.compose("down")
    left = set(cluster.engine.docker("volume", "ls", "-q").split())
    assert left == {f"onpoint_{volume}" for volume in (*VOLUMES, "kafka-config")}
    cluster.back_up(tmp_path)
    cluster.compose("down", "--volumes")
    cluster.restore(tmp_path)
    cluster.up()
    cluster.serve_records(test_data.folder)
    again = Pipeline(cluster.client_environment())
    assert sorted(again.keys(again.lake_bucket)) == before
    for dataset in DATASETS:
        assert await again.rows(dataset) == test_data.expected(dataset)
    run_id = new_run("again")
    done = await again.run(asked(run_id), within_s=RUN_S)
    await assert_all_arrived(again, run_id, done, test_data)


def test_down_with_its_volumes_leaves_nothing(cluster: Cluster) -> None:
    docker = cluster.engine.docker
    cluster.remove_records()
    run(
        "make", "--no-print-directory", "-C", str(ROOT), "compose-down", "WIPE=1",
        env=cluster.environment(VERSION),
    )  # fmt: skip
    assert docker("ps", "-aq") == ""
    assert docker("volume", "ls", "-q") == ""
    assert set(docker("network", "ls", "--format", "{{.Name}}").split()) <= {"host", "none", "bridge"}
    assert Network.now().bridges == cluster.engine.before.bridges
