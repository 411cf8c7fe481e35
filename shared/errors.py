"""Errors are named for what the consumer must do next.

Adapters convert foreign exceptions where they arise, so nothing above them needs to know a driver.
"""

from shared.reasons import Reason


class OnPointError(Exception):
    """Base of every error that this code raises on purpose."""


class TransientError(OnPointError):
    """An outage of Kafka, PostgreSQL or S3: pause the partition and try again, without end.

    Never a reason for a dead letter.
    """


class PermanentError(OnPointError):
    """Trying again cannot help: the record goes to the dead letters at once.

    `reason` is the code that people filter by; the message is for people to read.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ConfigurationError(OnPointError):
    """A setting, dataset file or topic file is wrong: the process must not start."""
