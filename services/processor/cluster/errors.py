"""Why the cluster did not work on a batch."""

from shared.errors import OnPointError


class BatchTimeError(OnPointError):
    """A batch took longer than it may. That is a failed try, not an outage: it is not tried without end."""


class WorkersDiedError(OnPointError):
    """Several workers ended, one after another, while they had the batch. That is a failed try, not an outage."""
