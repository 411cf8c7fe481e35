"""What a worker of a Dask cluster does with an object of changes. A scheduler loads this module and nothing else of it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from console.client.cdc.proof.columns import SourceColumn
    from console.client.cdc.proof.digests import ObjectDigest
    from console.client.cdc.state import StoredObject


def digest_on_worker(stored: "StoredObject", columns: "list[SourceColumn]", lsn: int) -> "ObjectDigest | str":
    """By the worker's own credentials. A text is why it could not be read."""
    import asyncio
    import tempfile
    from pathlib import Path

    from console.client.cdc.proof.digests import digest_object
    from shared.errors import OnPointError
    from shared.settings.model import load_settings
    from shared.settings.object_store import ObjectStoreSettings
    from shared.storage.object_store import open_s3

    settings = load_settings(ObjectStoreSettings)
    with tempfile.TemporaryDirectory(prefix="onpoint-verify-") as folder:
        file = Path(folder) / "object.parquet"
        lake = open_s3(settings, settings.lake_bucket)
        try:
            asyncio.run(lake.download(stored.key, file, size=stored.bytes, sha256=stored.sha256))
        except OnPointError as error:
            return str(error)
        return digest_object(file, columns, lsn)
