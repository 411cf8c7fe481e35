"""The real product, on which histories are made: a stack, a source whose answers a step sets, and the command line."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
from typer.testing import CliRunner, Result

from console.cli import environment
from console.main import app
from console.verify.findings import Findings
from console.verify.verify import VerifyOptions, verify
from deploy.local.stack import LocalStack
from shared.events.topology import SERVICES
from tests.support.histories.plan import DATASETS, SEVERAL, STAGES, Step
from tests.support.operator import Operator
from tests.support.pipeline import Completions, Pipeline
from tests.support.source import SourceServer, status

RECORDS = 12
PAGE = 5
"""Records of a page, and of a batch: a run has three."""

END_S = 60.0
REST_S = 60.0
"""The longest time until what a step began has ended everywhere."""

OPTIONAL = ("extra", "other")
"""Columns that a file may have or not."""

REFUSALS: Sequence[dict[str, Any]] = (
    {"datasets": ["no_such"]},
    {"datasets": ["../etc"]},
    {"datasets": []},
    {"datasets": ["pages"], "formats": ["docx"]},
    {"datasets": ["pages"], "parameters": {"pages": {"limit": -1}}},
    {"replay_of": "never-was", "from_stage": "loader"},
    {"datasets": ["x" * 500]},
)

_SOURCES = {
    "pages": "path: /pages\n  pagination: {kind: page, page_param: _page, size_param: _limit, size: 5, "
    "total_header: X-Total-Count}",
    "chained": "path: /chained\n  pagination: {kind: page, page_param: _page, size_param: _limit, size: 5}",
    "single": "path: /single\n  pagination: {kind: none}",
    "items": 'pagination: {kind: ids, list_path: /v0/topstories.json, item_path: "/v0/item/{id}.json"}',
}
_PATHS = {"items": ("/v0/topstories.json",)}


class World:
    def __init__(
        self, stack: LocalStack, source: SourceServer, folder: Path, completions: Completions
    ) -> None:
        self.stack = stack
        self.source = source
        self.pipeline = Pipeline(stack.environment())
        self.operator = Operator({**self.pipeline.environment, "ONPOINT_DATASETS_DIR": str(folder)})
        self.folder = folder
        self._completions = completions
        self._runs = 0
        self._files: dict[str, frozenset[str]] = dict.fromkeys(DATASETS, frozenset())
        self.runs: list[str] = []
        """Of the history that is being made."""
        self._open: set[str] = set()

    async def make(self, steps: Sequence[Step]) -> Findings:
        """Makes the history; what is found wrong with it when everything is at rest."""
        self.runs = []
        self.source.heal()
        for step in steps:
            await self._do(step)
        await self._wait()
        self.source.heal()
        return await self.at_rest(self.runs)

    async def run(self, dataset: str, number: int = 0) -> str:
        """A good run, to its end; its id."""
        step = Step("good", dataset, number)
        await self._do(step)
        await self._wait()
        return self.runs[-1]

    async def at_rest(self, runs: Sequence[str] = ()) -> Findings:
        """What is wrong with the runs, or with everything; what is on its way may take a while."""
        options, until = VerifyOptions(runs=runs), time.monotonic() + REST_S
        while True:
            found = await verify(options, environment)
            if found.holds or time.monotonic() > until:
                return found
            await asyncio.sleep(0.5)

    async def _do(self, step: Step) -> None:
        self.source.heal()
        self._serve(step)
        match step.kind:
            case "replay":
                await self._replay(step)
            case "dead letters replayed" | "dead letters fail again" | "dead letters discarded":
                await self._settle_dead_letters(
                    "discard" if step.kind == "dead letters discarded" else "replay"
                )
            case "undecodable":
                topics = (
                    "crawl.requested",
                    "crawl.batch.requested",
                    "batch.crawled",
                    "batch.processed",
                    "batch.failed",
                )
                await self.pipeline.publish(topics[step.number % len(topics)], b"\xff{", key=b"undecodable")
            case "sweep":
                await self._run_command("sweep", "--older-than-hours", "0")
            case "service restarted":
                await self._restart(SERVICES[step.number % len(SERVICES)])
            case "file changed":
                await self._change_file(step)
            case _:
                await self._run(step)

    def _serve(self, step: Step) -> None:
        """The source is as the step wants it."""
        records: list[Any] = [
            {"id": n, "name": f"{step.number} {n}", "extra": n * step.number, "other": None if n % 2 else 0.5}
            for n in range(RECORDS + step.number % 3)
        ]
        if step.kind == "source empty":
            records = []
        if step.kind in {"some bad", "all bad"}:
            bad = [
                {},
                {"id": "one"},
                {"id": 2**63},
                {"id": 1, "name": "\0"},
                {"id": 1, "name": ["x"]},
                {"id": None},
            ]
            for place in range(len(records)):
                if step.kind == "all bad" or place % 4 == step.number % 4:
                    records[place] = bad[(place + step.number) % len(bad)]
        name = "stories" if step.dataset == "items" else step.dataset
        if name == "stories":  # a list names each id, and an item without one cannot be asked for
            records = [
                {**record, "id": n} if isinstance(record.get("id"), int) else {"id": n, "name": 7}
                for n, record in enumerate(records)
            ]
        self.source.collections = {**self.source.collections, name: records}
        self.source._stories = {}  # noqa: SLF001 - the server is made for one set of stories
        paths = _PATHS.get(step.dataset, (f"/{step.dataset}",))
        if step.kind in {"source down", "every page fails", "dead letters fail again"}:
            fault = status(404 if step.number % 3 else 503, Retry_After="0")
            # A counted source must answer how many there are, or nothing is planned.
            after = 1 if step.kind == "every page fails" and step.dataset in {"pages", "items"} else 0
            for path in (*paths, *(f"/v0/item/{n}.json" for n in range(20) if step.dataset == "items")):
                self.source.fail(path, fault, after=after if path in paths else 0)
        if step.kind == "page fails":
            page = 1 + step.number % 3
            self.source.fail(f"/{step.dataset}?_page={page}&_limit={PAGE}", status(404))
            self.source.fail(f"/v0/item/{step.number % RECORDS}.json", status(404))

    async def _run(self, step: Step) -> None:
        request: dict[str, Any] = {"datasets": [step.dataset]}
        if step.kind == "limited":
            request["parameters"] = {step.dataset: {"limit": 1 + step.number % RECORDS}}
        if step.kind == "several datasets":
            start = step.number % len(DATASETS)
            request["datasets"] = [*DATASETS, *DATASETS][start : start + SEVERAL]
        if step.kind == "refused":
            request = REFUSALS[step.number % len(REFUSALS)]
        if step.kind == "table refuses":
            await self._wait()
            await self._refuse(step.dataset)
        self.source.delay_s = 0.05 if step.kind == "cancelled" else 0
        await self._ask(request)
        if step.kind == "asked twice":
            await self.pipeline.request({"run_id": self.runs[-1], "datasets": ["single"]})
        if step.kind == "cancelled":
            await asyncio.sleep(step.number % 100 / 100)
            result = await self._invoke("cancel", self.runs[-1])
            assert (
                result.exit_code == 0 or "is over" in result.output or "there is no run" in result.output
            ), result.output
        if step.kind == "table refuses":
            await self._wait()
            await self._refuse(step.dataset, refuses=False)
        elif step.waits:
            await self._wait()

    async def _ask(self, request: dict[str, Any]) -> None:
        self._runs += 1
        run_id = f"run-{self._runs:05}"
        self.runs.append(run_id)
        self._open.add(run_id)
        await self.pipeline.request({"run_id": run_id, **request})

    async def _wait(self) -> None:
        """All runs that were asked for have ended."""
        await self._completions.all(self._open, END_S)
        self._open = set()

    async def _replay(self, step: Step) -> None:
        if self.runs:
            await self._wait()
            run_id = self.runs[step.number % len(self.runs)]
            await self._ask({"replay_of": run_id, "from_stage": STAGES[step.number // 10 % len(STAGES)]})
            if step.waits:
                await self._wait()

    async def _settle_dead_letters(self, action: str) -> None:
        """Of all runs of the history."""
        await self._wait()
        for run_id in self.runs:
            if await self._has_dead_letters(run_id):
                reason = ["--reason", "an ordinary day"] if action == "discard" else []
                await self._run_command("dlq", action, "--run", run_id, "--yes", *reason)

    async def _has_dead_letters(self, run_id: str) -> bool:
        dead = await self.pipeline.fetch(
            "SELECT 1 FROM onpoint_runs.results WHERE run_id = $1 AND status = 'dead'", run_id
        )
        return bool(dead)

    async def _refuse(self, dataset: str, *, refuses: bool = True) -> None:
        table = f"public.onpoint_{dataset}"
        await self.pipeline.fetch(
            f"ALTER TABLE {table} ADD CONSTRAINT refuses_all CHECK (_run_id IS NULL) NOT VALID"
            if refuses
            else f"ALTER TABLE {table} DROP CONSTRAINT refuses_all"
        )

    async def _restart(self, *services: str) -> None:
        await asyncio.gather(*(asyncio.to_thread(self.stack.restart, service) for service in services))

    async def _change_file(self, step: Step) -> None:
        """A column comes or goes; the next run has it, without a restart."""
        await self._wait()
        column = OPTIONAL[step.number % len(OPTIONAL)]
        self._files[step.dataset] ^= {column}
        write_file(self.folder, step.dataset, self._files[step.dataset])
        await self._run_command("migrate")

    async def _run_command(self, *words: str) -> None:
        result = await self._invoke(*words)
        assert result.exit_code == 0, (words, result.output)

    async def _invoke(self, *words: str) -> Result:
        """The command in this process: one of its own costs more than all that it does."""
        logs = structlog.get_config()
        try:
            return await asyncio.to_thread(lambda: CliRunner().invoke(app, words))
        finally:
            structlog.configure(**logs)


def write_file(
    folder: Path,
    dataset: str,
    optional: frozenset[str] = frozenset(),
    *,
    name: str = "",
    table: str = "",
    named: str = "string",
) -> None:
    """The dataset's file with some of the optional columns; by another name, for another table, a column retyped."""
    types = {"extra": "int64", "other": "float64"}
    more = "".join(f"  - {{name: {name}, type: {types[name]}}}\n" for name in OPTIONAL if name in optional)
    (folder / f"{dataset}.yaml").write_text(
        f"name: {name or dataset}\nsource:\n  name: told\n  kind: api\n  base_url: http://127.0.0.1:1\n"
        f"  {_SOURCES[dataset]}\n  requests_per_second: 0\ntable: {table or f'onpoint_{dataset}'}\nkey: [id]\ncolumns:\n"
        f"  - {{name: id, type: int64}}\n  - {{name: name, type: {named}}}\n{more}formats: [csv]\n",
        encoding="utf-8",
    )


@asynccontextmanager
async def open_world(folder: Path) -> AsyncIterator[World]:
    """The stack has the datasets of the histories, and is gone afterwards."""
    datasets = folder / "datasets"
    datasets.mkdir()
    for name in DATASETS:
        write_file(datasets, name, frozenset())
    async with SourceServer() as source:
        extra = {
            "ONPOINT_CRAWL_ALLOW_HOSTS": source.allow,
            "ONPOINT_SOURCE_TOLD_URL": source.url,
            "ONPOINT_CRAWL_BATCH_ROWS": str(PAGE),
            "ONPOINT_DATASETS_DIR": str(datasets),
        }
        with LocalStack(folder / "stack", ports="free", extra_env=extra) as stack:
            before = dict(os.environ)
            os.environ.update(stack.environment(), ONPOINT_DATASETS_DIR=str(datasets))
            os.environ["ONPOINT_HOME"] = str(stack.home.path)
            try:
                pipeline = Pipeline(stack.environment())
                async with pipeline.completions() as completions:
                    yield World(stack, source, datasets, completions)
            finally:
                os.environ.clear()
                os.environ.update(before)
            stack.down(wipe=True)
