"""Parses the options of a run request."""

import getpass
import re
from collections.abc import Callable, Collection, Sequence

from console.cli.errors import WrongUseError
from console.formatting import did_you_mean, listed
from shared.events.names import SUPPORTED_FORMATS

MAX_LIMIT = 10**12
"""The contract's own bound."""

_DIGITS = re.compile(r"[0-9]{1,13}")


def requester() -> str:
    """The user of this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "onpoint"  # a container's user need not have a name


def choose_datasets(
    asked: Sequence[str], known: Collection[str], why_refused: Callable[[str], str | None] = lambda _: None
) -> tuple[str, ...]:
    """The datasets of `asked`, each once.

    `why_refused` gives, for a name that is not known, the reason why its file cannot be used.
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


def parse_params(texts: Sequence[str], datasets: Collection[str]) -> dict[str, dict[str, str]]:
    """`["orders.region=eu"]`; the datasets must be part of the run."""
    params: dict[str, dict[str, str]] = {}
    for text in texts:
        place, equals, value = text.partition("=")
        dataset, dot, name = place.partition(".")
        if not equals or not dot or not name:
            raise WrongUseError(
                f"--param {text} is not understood: write DATASET.NAME=VALUE, for example orders.region=eu"
            )
        if dataset not in datasets:
            raise WrongUseError(
                f"--param {text}: dataset {dataset} is not part of this run{did_you_mean(dataset, datasets)}"
            )
        params.setdefault(dataset, {})[name] = value
    return params
