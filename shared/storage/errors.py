from shared.errors import PermanentError, TransientError
from shared.reasons import Reason


class ObjectMissingError(PermanentError):
    """A manifest names an object that is not there."""

    def __init__(self, uri: str) -> None:
        super().__init__(Reason.OBJECT_MISSING, f"{uri} is not there")


class ChecksumError(PermanentError):
    """An object's bytes are not those that its manifest promised."""

    def __init__(self, uri: str, detail: str) -> None:
        super().__init__(Reason.CHECKSUM, f"{uri}: {detail}")


class StorageUnavailableError(TransientError):
    """The object store did not answer, or refused the request: an outage."""
