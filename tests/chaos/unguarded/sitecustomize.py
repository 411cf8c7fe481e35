"""Takes the guarantees away from the services of one measurement; on `PYTHONPATH` of nothing else.

No hash is made or checked, no checksum is sent, no manifest is written or looked for, and no offset is committed.
What is left is the same work for the same result, as long as nothing goes wrong.
"""

import asyncio
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

if any(argument.startswith("services.") for argument in sys.orig_argv):
    from aiokafka import AIOKafkaConsumer

    from shared.events.models import BatchManifest
    from shared.stages import artifacts, results
    from shared.storage import object_store
    from shared.storage.object_store import ObjectStore

    def name_file(path: Path) -> tuple[str, int]:
        return uuid.uuid4().hex * 2, path.stat().st_size

    async def download_unchecked(self: ObjectStore, key: str, target: Path, **_: Any) -> None:
        await asyncio.to_thread(target.write_bytes, await self.get(key) or b"")

    async def commit_nothing(_: Any, manifest: BatchManifest) -> BatchManifest:
        return manifest

    async def find_nothing(*_: Any) -> None:
        return None

    guarded_store: Any = vars(object_store)["S3Store"]

    def store_without_checksum(bucket: str, *, config: Mapping[str, Any], **options: Any) -> Any:
        options_left: Any = {name: value for name, value in config.items() if name != "checksum_algorithm"}
        return guarded_store(bucket, config=options_left, **options)

    setattr(artifacts, "hash_file", name_file)  # noqa: B010 - mypy would rightly refuse the assignments
    setattr(results.Batches, "commit", commit_nothing)  # noqa: B010
    setattr(results.Batches, "committed", find_nothing)  # noqa: B010
    setattr(object_store, "S3Store", store_without_checksum)  # noqa: B010
    setattr(ObjectStore, "download", download_unchecked)  # noqa: B010
    setattr(AIOKafkaConsumer, "commit", find_nothing)  # noqa: B010
