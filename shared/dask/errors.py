"""Why a Dask cluster is of no use now."""

from shared.errors import TransientError


class ClusterAwayError(TransientError):
    """No worker can take a task now: an outage of the cluster, or workers of other versions."""


class ConnectionLostError(ClusterAwayError):
    """The scheduler does not answer, or is not the one that got the task."""
