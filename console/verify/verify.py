"""One pass over the whole installation: reads, then checks, one invariant after the other."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg

from console.client import postgres
from console.client.dead_letters.journal import open_journal
from console.client.dead_letters.queue import Action
from console.client.errors import ClientError, InvalidRequestError
from console.verify import completions, process_usage
from console.verify.bus import Bus, read_bus
from console.verify.compactions import (
    Compactions,
    check_dataset_listings,
    check_names,
    check_states,
)
from console.verify.database import (
    TIMEOUT_S,
    AuditRows,
    all_files,
    as_client_errors,
    read_audit_rows,
    wait_for_listings,
)
from console.verify.dead_letters import BadEvent, DeadLetterCheck
from console.verify.findings import INVARIANTS, Findings
from console.verify.installation import Installation
from console.verify.logs import check_logs
from console.verify.objects import Named, Objects, check_batch_ids, named_files
from console.verify.record_accounting import RecordAccounting, check_lag
from console.verify.refusals import learn
from console.verify.row_accounting import check_row_accounting
from console.verify.source import open_source
from console.verify.staging import Documents, read_documents
from console.verify.table import Table
from console.verify.table_formats import check_tables
from console.verify.tables import Tables
from shared.errors import PermanentError, TransientError
from shared.events.topology import SERVICES
from shared.lake.settings import LakeSettings
from shared.lake.tables.open import LakeTables
from shared.lake.tables.settings import TableSettings
from shared.settings.masks import MaskSettings
from shared.settings.object_store import ObjectStoreSettings
from shared.storage.object_store import open_s3
from shared.sweep.settings import SweepSettings
from shared.sweep.uploads import S3Uploads
from shared.transforms.apply import Transformer
from shared.transforms.sandbox import Limits, Sandbox

FILES_AT_ONCE = 8
TRANSFORMS = Limits(memory_mib=8192, timeout_s=600)
"""Of the steps that are run again: what a processor could do is not to end here."""


SWEPT_AT = timedelta(hours=24)
"""The age at which a sweep removes what nothing names."""
NEVER = timedelta(days=36_500)

FROM_BUS = frozenset({"I4", "I6", "I7"})
FROM_STORE = frozenset({"I1", "I2", "I3", "I4", "I9"})


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """What is checked, and against what."""

    runs: Sequence[str] = ()
    """None named: all."""
    sources: Mapping[str, Path] = field(default_factory=dict)
    """By dataset."""
    bad_events: Sequence[BadEvent] | None = None
    observed: Sequence[dict[str, Any]] = ()
    logs: Path | None = None
    secrets: Sequence[bytes] = ()
    baseline: Mapping[str, process_usage.Usage] | None = None
    expected_restarts: int = 0
    sweep_age: timedelta | None = None
    """What nothing names may be so old; None: until the scheduled sweep that finds it a day old is through."""
    only: frozenset[str] = frozenset(INVARIANTS)


async def verify(options: VerifyOptions, installation: Installation) -> Findings:
    """Reads, and changes nothing.

    Raises `ClientError` where something cannot be read, `InvalidRequestError` for options that name what is not there.
    """
    findings = Findings()
    if options.logs is not None and "I11" in options.only:
        check_logs(options.logs, options.secrets, findings)
    if options.only <= {"I11"}:
        return findings
    dsn = installation.ledger_dsn()
    with as_client_errors():
        connection = await postgres.connect(dsn, timeout_s=TIMEOUT_S, is_read_only=True)
    try:
        await _Pass(options, installation, findings, connection).run()
    except (TransientError, PermanentError) as error:
        raise ClientError(f"the object store cannot be read: {error}") from error
    finally:
        connection.terminate()
    return findings


class _Pass:
    def __init__(
        self,
        options: VerifyOptions,
        installation: Installation,
        findings: Findings,
        connection: asyncpg.Connection,
    ) -> None:
        self._installation = installation
        self._options = options
        self._findings = findings
        self._connection = connection
        storage, sweeps = installation.settings(ObjectStoreSettings), installation.settings(SweepSettings)
        installation.use_credentials()
        self._storage = storage
        self._objects = Objects(
            open_s3(storage, storage.staging_bucket),
            open_s3(storage, storage.lake_bucket),
            findings,
            ttl=timedelta(hours=sweeps.staging_ttl_hours),
            grace=_grace(sweeps) if options.sweep_age is None else options.sweep_age,
            lake_grace=timedelta(hours=installation.settings(LakeSettings).lake_grace_hours),
        )

    async def run(self) -> None:
        options, findings = self._options, self._findings
        for name in options.only - {"I10", "I11"}:
            findings.count(name, 0)
        await wait_for_listings(self._connection)
        audit = await read_audit_rows(self._connection, options.runs)
        documents = Documents()
        compactions = self._objects.compactions = Compactions(audit.compactions)
        if options.only & FROM_STORE:
            documents = await read_documents(self._objects.staging, self._objects.lake, audit, findings)
        if "I2" in options.only:
            check_row_accounting(audit, documents, findings)
        if options.only & {"I1", "I3", "I9"}:
            await self._check_objects(audit, documents)
        if options.only & FROM_BUS:
            await self._check_bus(audit, documents)
        if "I5" in options.only:
            await completions.check_ends(audit, self._connection, findings)
            check_states(compactions, findings)
        if "I10" in options.only and options.baseline is not None:
            now = await process_usage.snapshot(self._connection, self._installation.service_processes())
            process_usage.check_processes(options.baseline, now, options.expected_restarts, findings)

    async def _check_bus(self, audit: AuditRows, documents: Documents) -> None:
        options, findings = self._options, self._findings
        bus: Bus = await read_bus(self._installation.kafka())
        if "I4" in options.only:
            compactions = self._objects.compactions
            completions.check_completions(audit, bus, compactions, documents, findings)
            if audit.everything:
                check_dataset_listings(compactions, audit, documents, findings)
                await check_tables(self._tables_of_lake(), compactions, audit, documents, findings)
            completions.check_observed(list(options.observed), audit, findings)
        if "I6" in options.only:
            check_lag(bus, findings)
            RecordAccounting(audit, bus, findings).check()
        if "I7" in options.only:
            killed = options.expected_restarts > 0
            DeadLetterCheck(audit, bus, await self._actions(), findings, killed=killed).check(
                options.bad_events
            )

    def _tables_of_lake(self) -> LakeTables:
        settings, dsn = self._installation.settings(TableSettings), self._installation.ledger_dsn()
        return LakeTables(self._storage, self._objects.lake, settings, dsn)

    async def _actions(self) -> list[Action]:
        dsn = self._installation.ledger_dsn()
        async with open_journal(dsn) as journal:
            return [action async for piece in journal.actions(SERVICES) for action in piece]

    async def _check_objects(self, audit: AuditRows, documents: Documents) -> None:
        only, findings, objects = self._options.only, self._findings, self._objects
        files = named_files(audit, documents, objects.compactions)
        with ExitStack() as stack:
            tables = await self._tables(audit, documents, stack) if "I1" in only else Tables()
            objects.note_sweeps(audit, documents)
            staged, others = tables.split(files)
            await self._check_files(staged, tables, documents)
            for content in tables.contents.values():
                await content.settle()
            await self._check_files(others, tables, documents)
            for content in tables.contents.values():
                content.end_of_lake()
                await Table(content, audit, tables.unknown, findings).look(self._connection)
        if "I9" in only:
            check_batch_ids(audit, findings)
            for named in files:
                objects.check_name(named)
            for entry in audit.objects:
                objects.check_lake_name(entry)
            check_names(objects.compactions, objects.lake, findings)
        if "I3" in only:
            await objects.check_orphans(audit, documents, await all_files(self._connection))
            await self._check_uploads()

    async def _check_files(self, files: Sequence[Named], tables: Tables, documents: Documents) -> None:
        for start in range(0, len(files), FILES_AT_ONCE):
            some = files[start : start + FILES_AT_ONCE]
            await asyncio.gather(*(self._check_file(named, tables, documents) for named in some))

    async def _check_file(self, named: Named, tables: Tables, documents: Documents) -> None:
        visit = tables.visit(named, documents)
        if visit is not None or "I3" in self._options.only:
            await self._objects.check_file(named, visit)

    async def _tables(self, audit: AuditRows, documents: Documents, stack: ExitStack) -> Tables:
        """What must be in each table, by the sources and the quarantines."""
        catalog = self._installation.catalog()
        if unknown := sorted(set(self._options.sources) - set(catalog)):
            raise InvalidRequestError(f"there is no dataset {unknown[0]}: see `onpoint datasets`")
        sources = {
            name: stack.enter_context(open_source(path)) for name, path in self._options.sources.items()
        }
        tables = Tables()
        await tables.gather(
            audit, documents, catalog, sources, self._connection, self._objects.compactions, self._findings
        )
        loaded = {result.batch_id: result for result in audit.results if result.stage == "loader"}
        secret = self._installation.settings(MaskSettings).mask_key()
        transformer = Transformer(TRANSFORMS, secret, stack.enter_context(Sandbox()))
        for content in tables.contents.values():
            content.expected.transformer = transformer
            await learn(content.expected, loaded, documents, self._objects.read, self._findings)
        return tables

    async def _check_uploads(self) -> None:
        async with S3Uploads(self._storage) as uploads:
            async for upload in uploads.open_before(self._objects.now - self._objects.grace):
                self._findings.add(
                    "I3",
                    f"s3://{upload.bucket}/{upload.key}",
                    f"its upload {upload.upload_id} was never finished",
                )
        self._findings.count("I3")


def _grace(sweeps: SweepSettings) -> timedelta:
    """A sweep takes what is a day old, and the next one may be an interval away; without a schedule none comes."""
    if sweeps.sweep_interval_s == 0:
        return NEVER
    return SWEPT_AT + 2 * timedelta(seconds=sweeps.sweep_interval_s)
