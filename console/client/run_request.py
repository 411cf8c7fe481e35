"""A run request: the value of `crawl.requested`."""

import json
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from console.client.errors import InvalidRequestError
from shared.events.ids import is_run_id


@dataclass(frozen=True, slots=True)
class RunRequest:
    run_id: str
    datasets: tuple[str, ...]
    requested_by: str
    formats: tuple[str, ...] = ()
    """Empty: each dataset's own."""
    limits: dict[str, int] = field(default_factory=dict)
    since: str | None = None
    until: str | None = None
    """Bounds of incremental datasets, a day, a time or a number; None: since the last complete run, up to now."""
    full: bool = False
    """Everything again, whatever earlier runs have."""
    incremental: tuple[str, ...] = ()
    """The datasets that the three before are for."""
    params: dict[str, dict[str, str]] = field(default_factory=dict)
    """Values of parameters, by dataset and name."""
    replay_of: str | None = None
    """The run whose results are taken for what comes before `from_stage`; None: everything is crawled."""
    from_stage: str | None = None

    def value(self) -> bytes:
        """The record's value; what is empty is left out."""
        document: dict[str, Any] = {
            "run_id": self.run_id,
            "datasets": list(self.datasets),
            "requested_by": self.requested_by,
        }
        if parameters := {name: one for name in self.datasets if (one := self._parameters_of(name))}:
            document["parameters"] = parameters
        if self.formats:
            document["formats"] = list(self.formats)
        if self.replay_of is not None:
            document |= {"replay_of": self.replay_of, "from_stage": self.from_stage}
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()

    def _parameters_of(self, dataset: str) -> dict[str, Any]:
        values = {
            "limit": self.limits.get(dataset),
            "since": self.since if dataset in self.incremental else None,
            "until": self.until if dataset in self.incremental else None,
            "full": (self.full and dataset in self.incremental) or None,
            "params": self.params.get(dataset),
        }
        return {name: value for name, value in values.items() if value is not None}


def new_run_id(now: datetime) -> str:
    """An id for a run that was given none.

    The bus would derive one from where the request's record was appended, and the producer learns that place. But it
    learns it late or never: an acknowledgement that is lost, or that follows a retry the broker recognised (it then
    has no offset), leaves a run without a known id, and a second request would start a second run. An id that is in the
    request is known before anything is sent, and two requests with it are one run.
    """
    return f"r-{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def check_run_id(run_id: str) -> str:
    if not is_run_id(run_id):
        raise InvalidRequestError(
            f"{run_id!r} cannot be a run id: 1 to 128 letters, digits, dots, underscores and hyphens, "
            "the first one a letter or digit"
        )
    return run_id
