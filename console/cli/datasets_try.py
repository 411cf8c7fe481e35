"""`onpoint datasets try`: asks the source of one file, and shows what came, without Kafka and without a database."""

import asyncio
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from console.cli import environment
from console.cli.errors import CommandError, WrongUseError
from console.formatting import did_you_mean

if TYPE_CHECKING:
    from services.crawler.domain.plans import CrawlPlan
    from services.crawler.http.api_client import RequestTry
    from services.crawler.sources.api.context import Requests
    from shared.datasets.model import Dataset

MAX_PAGES = 20
SHOWN_CHARS = 200


@dataclass(slots=True)
class Tried:
    """What was asked and what came."""

    dataset: "Dataset"
    exchanges: list["RequestTry"]
    lines: list[bytes]
    failures: list[str]
    ended: str = ""
    """Why no more was asked; "": the source has shown its end."""


def try_file(name: str, limit: int, params: Sequence[str]) -> dict[str, Any]:
    """Raises `CommandError` with file, line and reason, `WrongUseError` for a name that is neither file nor dataset."""
    from shared.datasets.sources.api import RequestSource

    dataset = _dataset(name)
    if not isinstance(dataset.source, RequestSource):
        raise CommandError(
            f"{dataset.name} has a source without a `request`: `onpoint run {dataset.name} --limit` tries it"
        )
    if dataset.source.parents:
        parents = ", ".join(each.parent for each in dataset.source.parents)
        raise CommandError(f"{dataset.name} needs the rows of {parents}: try that file, or run both")
    tried = asyncio.run(_try(dataset, limit, _params(params)))
    return _document(tried)


def _params(texts: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    if wrong := [text for text, (_, equals, _) in zip(texts, pairs, strict=True) if not equals]:
        raise WrongUseError(f"--param {wrong[0]} is not understood: write NAME=VALUE")
    return {name: value for name, _, value in pairs}


def _dataset(name: str) -> "Dataset":
    from shared.datasets.catalog import RefusedFile, read_file

    path = Path(name)
    if path.suffix in {".yaml", ".yml"} or path.is_file():
        import os

        found = read_file(path, os.environ)
        if isinstance(found, RefusedFile):
            raise CommandError("\n".join(found.mistakes()))
        return found.dataset
    catalog = environment.catalog()
    if name not in catalog:
        raise WrongUseError(
            catalog.why_refused(name) or f"there is no dataset {name}{did_you_mean(name, catalog)}"
        )
    return catalog[name]


async def _try(dataset: "Dataset", limit: int, params: Mapping[str, str]) -> Tried:
    from services.crawler.domain.fetching import RetryPolicy
    from services.crawler.http.address_guard import AllowedHosts
    from services.crawler.http.api_client import ApiClient
    from services.crawler.http.credentials import Credentials
    from services.crawler.http.rate_limit import SourceThrottle
    from services.crawler.http.transport import HttpTransport
    from services.crawler.settings import CrawlSettings
    from services.crawler.sources.api.context import Requests
    from services.crawler.sources.api.plan import ApiPlanContext, plan
    from shared.datasets.sources.secret_values import SecretValues, variable
    from shared.events.models import DatasetParameters
    from shared.settings.model import load_settings

    settings = load_settings(CrawlSettings)
    policy = RetryPolicy(tries=2)
    tried = Tried(dataset, [], [], [])
    folders = tuple(
        Path(folder.strip()) for folder in settings.crawl_secrets_dirs.split(",") if folder.strip()
    )
    transport = HttpTransport(
        allowed=AllowedHosts.parse(settings.crawl_allow_hosts),
        user_agent=settings.crawl_user_agent,
        timeout_s=settings.crawl_timeout_s,
        policy=policy,
        read_timeout_s=settings.crawl_read_timeout_s,
    )
    async with transport:
        client = ApiClient(transport, SourceThrottle(), Credentials(transport, SecretValues(folders)), policy)
        units = _KeptUnits()
        with tempfile.TemporaryDirectory() as folder:
            made = await plan(
                ApiPlanContext(
                    run_id="try",
                    dataset=dataset,
                    requested_at=datetime.now(UTC),
                    parameters=DatasetParameters(limit=limit, params=dict(params)),
                    mark=None,
                    variables=variable,
                    parents=_no_parents,
                    client=client,
                    ids=units,
                    folder=Path(folder),
                )
            )
            if made.failed is not None:
                raise CommandError(f"there is no plan: {made.failed.detail}")
            if made.values is not None and made.requests:
                requests = Requests.of(dataset, made.values, client, tried.exchanges.append)
                await _read(requests, made, tried, limit, Path(folder))
    return tried


async def _read(requests: "Requests", plan: "CrawlPlan", tried: Tried, limit: int, folder: Path) -> None:
    """Units in order, each to its end, until the limit or the pages that a try may ask for."""
    from services.crawler.domain.fetching import FetchFailure
    from services.crawler.domain.requests.steps import Place, first_place, following_place
    from services.crawler.domain.urls import CursorError
    from services.crawler.http.api_client import LongWaitError

    asked = 0
    for unit in plan.ids_of(0) if plan.ids else []:
        place: Place | None = first_place(requests.source.pagination)
        came = 0
        while place is not None:
            if len(tried.lines) >= limit or asked >= MAX_PAGES:
                tried.ended = (
                    f"the limit of {limit} records" if len(tried.lines) >= limit else f"{MAX_PAGES} requests"
                )
                return
            asked += 1
            try:
                left = limit - len(tried.lines)
                answer = await requests.ask(unit, place, folder, limit=left, is_first=came == 0)
                if isinstance(answer, FetchFailure):
                    tried.failures.append(f"{answer.url}: {answer.detail}")
                    break
                page = answer.value
                came += page.facts.rows
                tried.lines += page.records.data.split(b"\n") if page.records.rows else []
                place = following_place(requests.source, place, page.facts, came, answer.answered_url)
            except LongWaitError as error:
                tried.ended = str(error)
                return
            except CursorError as error:
                tried.failures.append(str(error))
                break


async def _no_parents(_: Any) -> Any:
    nothing: tuple[Any, ...] = ()
    for row in nothing:
        yield row


class _KeptUnits:
    """More units than a plan holds are of no interest to a try."""

    async def put_ids(self, run_id: str, dataset: str, lines: bytes) -> str:
        del run_id, dataset, lines
        raise CommandError("the file asks for too many requests to try: give it a shorter list or range")

    async def ids_of(self, plan: "CrawlPlan", sequence: int) -> list[Any]:
        return plan.ids_of(sequence)


def _document(tried: Tried) -> dict[str, Any]:
    rows, rejected = typed(tried.dataset, tried.lines)
    return {
        "dataset": tried.dataset.name,
        "requests": [
            {
                "method": one.method,
                "url": one.url,
                "status": one.status,
                "took_ms": one.took_ms,
                "outcome": one.outcome,
            }
            for one in tried.exchanges
        ],
        "records": [line.decode("utf-8", "replace") for line in tried.lines],
        "rows": rows,
        "rejected": rejected,
        "failures": tried.failures,
        "stopped_by": tried.ended,
    }


def typed(dataset: "Dataset", lines: Sequence[bytes]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows as they would be stored, and the lines that would be refused with the reason."""
    from console.cli.datasets_check import NO_SECRET
    from services.processor.adapters.preview import preview_lines
    from shared.errors import PermanentError
    from shared.events.ids import batch_id
    from shared.events.models import BatchManifest
    from shared.settings.masks import MaskSettings
    from shared.settings.model import load_settings
    from shared.transforms.apply import Transformer

    if not lines:
        return [], []
    now = datetime.now(UTC)
    batch = BatchManifest(
        run_id="try",
        dataset=dataset.name,
        batch_id=batch_id("try", dataset.name, 0),
        sequence=0,
        stage="crawler",
        requested_at=now,
        produced_at=now,
        code_version="try",
    )
    transformer = Transformer(
        secret=load_settings(MaskSettings).mask_key() if dataset.transform else NO_SECRET
    )
    try:
        with tempfile.TemporaryDirectory() as folder, transformer.sandbox:
            found = preview_lines(Path(folder), batch, dataset, lines, transformer)
    except PermanentError as error:
        raise CommandError(f"the records came, and cannot become rows: {error}") from error
    rows = [row for line in found for row in line.rows]
    rejected = [
        {"reason": line.reason, "detail": line.detail, "record": line.raw.decode("utf-8", "replace")}
        for line in found
        if line.reason is not None
    ]
    return rows, rejected


def lines_of(document: Mapping[str, Any]) -> Iterator[str]:
    """For people."""
    import json

    for one in document["requests"]:
        yield f"{one['method']} {one['url']}  {one['status'] or 'no answer'}  {one['took_ms']} ms  {one['outcome']}"[
            :400
        ]
    yield f"{len(document['records'])} records, {len(document['rows'])} rows, {len(document['rejected'])} rejected"
    for row in document["rows"]:
        yield "  " + json.dumps(row, ensure_ascii=False, default=str)[:SHOWN_CHARS]
    for line in document["rejected"]:
        yield f"  rejected: {line['reason']}: {line['detail']}: {line['record'][:SHOWN_CHARS]}"
    for failure in document["failures"]:
        yield f"failed: {failure}"
    if document["stopped_by"]:
        yield f"stopped: {document['stopped_by']}; there may be more"
