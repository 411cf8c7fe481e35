"""From the options of the commands to the dead letters that they mean, and how fast they are replayed."""

import re
from collections.abc import Sequence

from console.cli.errors import WrongUseError
from console.client.dead_letters.queue import STATES, Filters, State
from console.client.dead_letters.record import Position
from console.client.dead_letters.selection import Selection
from console.client.services import check_service
from console.formatting import did_you_mean, listed
from shared.reasons import Reason

CODES = tuple(code.value for code in Reason)

_RATE = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)\s*(?:/\s*(s|min|h))?")
_SECONDS = {"s": 1, "min": 60, "h": 3600}


def filters_of(
    service: str | None, run_id: str | None, stage: str | None, reason: str | None, state: str
) -> Filters:
    """Raises `WrongUseError` for a name that cannot be one."""
    if service is not None:
        check_service(service)
    if reason is not None and reason not in CODES:
        raise WrongUseError(
            f"there is no reason {reason}{did_you_mean(reason, CODES) or ': there are ' + listed(CODES)}"
        )
    return Filters(service, run_id, stage, reason, _state(state))


def select(
    named: Sequence[Position], filters: Filters, *, everything: bool, limit: int | None, verb: str
) -> Selection:
    """Raises `WrongUseError` unless dead letters are named, or filtered, or `everything` is given."""
    if named and (everything or limit is not None or not filters.is_empty()):
        raise WrongUseError("name dead letters or filter them, not both")
    if not named and not everything and filters.is_empty():
        raise WrongUseError(
            f"which dead letters? name some, as in `onpoint dlq {verb} loader:3:42`, or give a filter such as "
            "--service or --run, or --all"
        )
    return Selection(tuple(dict.fromkeys(named)), filters, limit)


def parse_rate(text: str) -> float:
    """Dead letters per second: `50/s`, `50`, `600/min`."""
    found = _RATE.fullmatch(text.strip())
    rate = float(found[1]) / _SECONDS[found[2] or "s"] if found else 0.0
    if rate <= 0:
        raise WrongUseError(f"--rate {text} is not understood: write N/s, for example 50/s, or 600/min")
    return rate


def _state(text: str) -> State | None:
    for state in STATES:
        if text == state:
            return state
    if text != "all":
        names = [*STATES, "all"]
        raise WrongUseError(
            f"there is no state {text}{did_you_mean(text, names) or ': there are ' + listed(names)}"
        )
    return None
