"""What a worker of a Dask cluster does with an object of the lake. A scheduler loads this module and nothing else of it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from console.profile.lake import Profile


def profile_on_worker(dataset: str, uri: str, only_run: str | None) -> "Profile | str":
    """By the worker's own credentials. A text is why it could not be read."""
    import asyncio

    from console.profile.lake import profile_object
    from shared.errors import OnPointError
    from shared.settings.model import load_settings
    from shared.settings.object_store import ObjectStoreSettings
    from shared.storage.object_store import open_s3

    settings = load_settings(ObjectStoreSettings)
    try:
        return asyncio.run(profile_object(open_s3(settings, settings.lake_bucket), dataset, uri, only_run))
    except OnPointError as error:
        return str(error)
