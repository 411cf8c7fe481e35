"""`onpoint cdc verify`."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from console.cli import environment
from console.cli.cdc.reach import connect_url, connected
from console.cli.cdc.registration import choose
from console.cli.errors import FAILED, SUCCESS, CommandError
from console.cli.result import print_json
from console.client.cdc.connect import Connect, ConnectError
from console.client.cdc.source import published
from console.formatting import number, quantity, size
from shared.errors import OnPointError, TransientError
from shared.events.capture import CONNECTOR
from shared.settings.dask import DaskSettings
from shared.settings.object_store import ObjectStoreSettings

if TYPE_CHECKING:
    from console.client.cdc.proof.columns import SourceColumn
    from console.client.cdc.proof.digests import ObjectDigest
    from console.client.cdc.proof.verify import Digest, Proof
    from console.client.cdc.state import StoredObject


def verify(name: str, timeout_s: float, *, as_json: bool) -> int:
    """Prints what `onpoint cdc verify` finds; the exit code. Waits at most `timeout_s` for the lake.

    Raises `WrongUseError` for a table that is not captured, `CommandError` where a server is away or the lake does not get
    there. Costs the table once over the wire, its objects on this machine's disk, and 1 GB of memory.
    """
    dsn, url, kafka = environment.ledger_dsn(), connect_url(), environment.kafka()
    storage = environment.settings(ObjectStoreSettings)

    async def problem() -> str | None:
        try:
            async with Connect(url) as connect:
                found = await connect.state(CONNECTOR)
        except ConnectError:
            return None  # it may come back
        if found is None:
            return "nothing is registered: `onpoint cdc register` begins"
        if found.state == "FAILED":
            return f"the connector failed: {found.why}; `onpoint cdc restart` tries again"
        return None

    async def run() -> "Proof":
        from console.client.cdc.proof.verify import verify as prove
        from shared.storage.object_store import open_s3

        environment.use_credentials()
        async with connected(dsn) as first, connected(dsn) as second, connected(dsn) as third:
            table = choose(name, await published(first))
            return await prove(
                (first, second, third),
                kafka,
                open_s3(storage, storage.lake_bucket),
                table,
                timeout_s=timeout_s,
                problem=problem,
                report=lambda line: None if as_json else print(line, file=sys.stderr, flush=True),
                digest=_on_cluster(environment.settings(DaskSettings)),
            )

    try:
        proof = asyncio.run(run())
    except CommandError:
        raise
    except OnPointError as error:
        raise CommandError(str(error)) from error
    if as_json:
        print_json(_document(proof))
    else:
        _show(proof)
    return SUCCESS if proof.is_equal else FAILED


def _on_cluster(settings: DaskSettings) -> "Digest | None":
    """None where no cluster is set, or Dask is not installed."""
    if settings.dask_scheduler_address is None or find_spec("distributed") is None:
        return None

    async def digest(
        stored: "Sequence[StoredObject]", columns: "Sequence[SourceColumn]", lsn: int
    ) -> "Sequence[ObjectDigest] | None":
        from console.client.cdc.proof.cluster import digest_on_cluster
        from shared.dask.errors import ClusterAwayError

        try:
            return await digest_on_cluster(settings, stored, columns, lsn)
        except (ClusterAwayError, TransientError) as error:
            sys.stderr.write(f"onpoint: {error}; this command reads the lake itself\n")
            return None

    return digest


def _document(proof: "Proof") -> dict[str, Any]:
    return {
        "table": str(proof.table),
        "equal": proof.is_equal,
        "lsn": proof.lsn,
        "objects": proof.objects,
        "bytes": proof.bytes,
        "faults": list(proof.faults),
        **asdict(proof.comparison),
    }


def _show(proof: "Proof") -> None:
    found = proof.comparison
    for fault in proof.faults:
        print(fault)
    for each in found.shown:
        columns = f": {', '.join(each.columns)}" if each.columns else ""
        print(f"{each.kind:<10} {each.key}{columns}")
    if found.not_compared:
        print(f"not compared, as Debezium writes them in a way of its own: {', '.join(found.not_compared)}")
    print(
        f"{proof.table} at LSN {proof.lsn}: {quantity(found.rows, 'row')}, {number(found.rebuilt)} rebuilt from "
        f"{quantity(proof.objects, 'object')} ({size(proof.bytes)}), {quantity(found.differences, 'difference')}"
    )
