"""Shows the result of a run, for people or for programs."""

import json
import re
from typing import TYPE_CHECKING, Any

from console.cli.errors import FAILED, SUCCESS, CommandError

if TYPE_CHECKING:
    from console.cli.summary import Places
    from shared.events.models import RunCompleted

_OBEYED = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def show(completed: dict[str, Any], *, as_json: bool) -> int:
    """Prints the value of a `run.completed`; returns the exit code that its status means.

    Raises `CommandError` for one that this version does not understand; `as_json` shows that one too.
    """
    if as_json:
        print_json(completed)
    else:
        from console.cli import screen, summary

        screen.stdout().print(summary.render(decode(completed), places()), highlight=False, crop=False)
    return exit_code(completed)


def print_json(value: Any, *, compact: bool = False) -> None:
    """What a terminal would obey is escaped, in a way that JSON allows. Compact: one line, at once also in a pipe."""
    print(escaped(json.dumps(value, indent=None if compact else 2, ensure_ascii=False)), flush=compact)


def escaped(document: str) -> str:
    """JSON in which nothing is left that a terminal would obey."""
    return _OBEYED.sub(lambda m: f"\\u{ord(m.group()):04x}", document)


def decode(completed: dict[str, Any]) -> "RunCompleted":
    from shared.errors import PermanentError
    from shared.events.decode import decode_event
    from shared.events.models import RunCompleted

    try:
        return decode_event(RunCompleted, json.dumps(completed).encode())
    except PermanentError as error:
        raise CommandError(
            f"the run is over, but this version cannot read its result (--json can): {error}"
        ) from error


def exit_code(completed: dict[str, Any]) -> int:
    return SUCCESS if completed.get("status") == "succeeded" else FAILED


def places() -> "Places":
    from console.cli import environment
    from console.cli.summary import Places

    return Places(
        psql=environment.psql(),
        lake_bucket=environment.lake_bucket(),
        table_of=environment.table_of,
    )
