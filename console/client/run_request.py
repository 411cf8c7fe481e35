"""What is asked for: from words on the command line to the value of `crawl.requested`. Pure but for the id's chance."""

import getpass
import json
import re
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from console.cli.errors import WrongUseError
from console.formatting import did_you_mean, listed
from shared.events.ids import is_run_id
from shared.events.names import SUPPORTED_FORMATS

MAX_LIMIT = 10**12
"""The contract's own bound."""

_DIGITS = re.compile(r"[0-9]{1,13}")


@dataclass(frozen=True, slots=True)
class Order:
    run_id: str
    datasets: tuple[str, ...]
    requested_by: str
    formats: tuple[str, ...] = ()
    """Empty: each dataset's own."""
    limits: dict[str, int] = field(default_factory=dict)
    replay_of: str | None = None
    """The run whose results are taken for what comes before `from_stage`; None: everything is crawled."""
    from_stage: str | None = None

    def value(self) -> bytes:
        """The record's value; what was not asked for is left out."""
        document: dict[str, Any] = {
            "run_id": self.run_id,
            "datasets": list(self.datasets),
            "requested_by": self.requested_by,
        }
        if self.limits:
            document["parameters"] = {name: {"limit": limit} for name, limit in self.limits.items()}
        if self.formats:
            document["formats"] = list(self.formats)
        if self.replay_of is not None:
            document |= {"replay_of": self.replay_of, "from_stage": self.from_stage}
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def new_run_id(now: datetime) -> str:
    """An id for a run that was given none.

    The bus would derive one from where the request's record was appended, and the producer learns that place. But it
    learns it late or never: an acknowledgement that is lost, or that follows a retry the broker recognised (it then
    has no offset), leaves a run that nobody can name, and asking again would start a second one. An id that is in the
    request is known before anything is sent, and asking twice with it is one run.
    """
    return f"r-{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def requester() -> str:
    """Who asks."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "onpoint"  # a container's user need not have a name


def check_run_id(run_id: str) -> str:
    if not is_run_id(run_id):
        raise WrongUseError(
            f"{run_id!r} cannot be a run id: 1 to 128 letters, digits, dots, underscores and hyphens, "
            "the first one a letter or digit"
        )
    return run_id


def choose_datasets(
    asked: Sequence[str], known: Collection[str], why_refused: Callable[[str], str | None] = lambda _: None
) -> tuple[str, ...]:
    """Those that were asked for, each once.

    `why_refused` tells of a name that is not known why its file cannot be used.
    """
    for name in asked:
        if name not in known:
            if (why := why_refused(name)) is not None:
                raise WrongUseError(f"dataset {name} cannot be crawled: {why}")
            raise WrongUseError(
                f"there is no dataset {name}{did_you_mean(name, known) or ': there are ' + listed(known)}"
            )
    return tuple(dict.fromkeys(asked))


def parse_formats(texts: Sequence[str]) -> tuple[str, ...]:
    """`["parquet,csv"]` or `["parquet", "csv"]`."""
    names = [name.strip() for text in texts for name in text.split(",")]
    for name in names:
        if name not in SUPPORTED_FORMATS:
            raise WrongUseError(
                f"there is no format {name!r}"
                f"{did_you_mean(name, SUPPORTED_FORMATS) or ': there are ' + listed(SUPPORTED_FORMATS)}"
            )
    return tuple(dict.fromkeys(names))


def parse_limits(texts: Sequence[str], datasets: Collection[str]) -> dict[str, int]:
    """`["posts=100"]`; the datasets must be part of the run."""
    limits: dict[str, int] = {}
    for text in texts:
        name, equals, digits = text.partition("=")
        if not equals or not _DIGITS.fullmatch(digits) or int(digits) > MAX_LIMIT:
            raise WrongUseError(f"--limit {text} is not understood: write DATASET=N, for example posts=100")
        if name not in datasets:
            raise WrongUseError(
                f"--limit {text}: dataset {name} is not part of this run{did_you_mean(name, datasets)}"
            )
        if name in limits:
            raise WrongUseError(f"--limit is given twice for {name}")
        limits[name] = int(digits)
    return limits
