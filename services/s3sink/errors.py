from shared.errors import OnPointError, PermanentError
from shared.events.models import BatchManifest


class ClaimLostError(OnPointError):
    """Another process has claimed the object and writes it."""


class BatchUnusableError(OnPointError):
    """An object cannot be written because of this batch: it is dead, and the others are assigned anew."""

    def __init__(self, batch: BatchManifest, error: PermanentError) -> None:
        super().__init__(str(error))
        self.batch = batch
        self.error = error
