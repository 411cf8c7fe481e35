"""Dead letters on a screen. Nothing of a record is taken as markup, or as a control sequence of the terminal. Pure."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Group, RenderableType
from rich.text import Text

from console.cli.cells import cut
from console.cli.screen import PIPED
from console.client.dead_letters.preview import Preview
from console.client.dead_letters.queue import STATES, Entry, State
from console.formatting import moment, number, one_line, printable, quantity, size
from shared.bus.messages import Headers, Record

STATE_STYLE: dict[str, str] = {"open": "red", "replayed": "cyan", "resolved": "green", "discarded": "dim"}
WIDE = 110
"""Columns from which on the error has room beside the others; else it goes below."""
GAP = 2
MAX_VALUE_LINES = 200
MAX_TEXT_CHARS = 2000


def render_list(entries: Sequence[Entry], *, width: int, with_state: bool) -> RenderableType:
    """One line for each entry, two on a narrow screen. Names are whole, to be copied; what is long is cut at the edge."""
    wide = width >= WIDE
    names = ["entry", *(str(entry.dead_letter.position) for entry in entries)]
    states = ["state", *(entry.state for entry in entries)]
    reasons = ["reason", *(one_line(entry.dead_letter.reason)[:20] for entry in entries)]
    times = ["died (UTC)", *(f"{entry.dead_letter.failed_at:%m-%d %H:%M}" for entry in entries)]
    datasets = ["dataset", *(entry.dead_letter.dataset or "-" for entry in entries)]
    runs = ["run", *(one_line(entry.dead_letter.run_id) or "-" for entry in entries)]
    columns = [
        names,
        *([states] if with_state else []),
        reasons,
        times,
        *([datasets] if wide else []),
        runs,
    ]
    widths = [max(map(cell_len, column)) for column in columns]
    room = width - sum(widths[:-1]) - GAP * len(widths[:-1])
    widths[-1] = max(3, min(widths[-1], 40 if width < PIPED else room, room))
    if wide:
        columns.append(["error", *(_error(entry) for entry in entries)])
        widths.append(max(10, room - widths[-1] - GAP))
    lines: list[RenderableType] = []
    for number_, cells in enumerate(zip(*columns, strict=True)):
        entry = entries[number_ - 1] if number_ else None
        line = Text(no_wrap=True, overflow="ignore")
        for place, (cell, cell_width) in enumerate(zip(cells, widths, strict=True)):
            style = "dim" if entry is None or (wide and place == len(widths) - 1) else ""
            if entry is not None and with_state and place == 1:
                style = STATE_STYLE[entry.state]
            line.append(cut(cell, cell_width), style)
            line.append(" " * GAP)
        line.rstrip()
        lines.append(line)
        if entry is not None and not wide:
            lines.append(Text(cut(f"  {_error(entry)}", width).rstrip(), "dim", no_wrap=True))
    return Group(*lines)


def summarised(shown: int, counts: Mapping[State, int], state: State | None) -> str:
    """What there is, and what of it the list does not show."""
    matching = sum(counts.values()) if state is None else counts[state]
    word = "dead letter" if state is None else f"{state} dead letter"
    if not matching:
        text = f"there are no {word}s"
    elif shown < matching:
        text = f"the latest {number(shown)} of {quantity(matching, word)}: --limit shows more"
    else:
        text = quantity(matching, word)
    others = [
        f"{number(counts[other])} {other}"
        for other in STATES
        if counts[other] and state is not None and other != state
    ]
    return f"{text} ({', '.join(others)}: --state all shows them)" if others else text


def render_entry(
    entry: Entry, record: Record | None, previews: Sequence[Preview], *, with_headers: bool = False
) -> RenderableType:
    """Print it with `crop=False`: what is to be copied is never broken or cut."""
    dead_letter = entry.dead_letter
    parts: list[RenderableType] = [
        Text.assemble(str(dead_letter.position), "  ", (entry.state, f"bold {STATE_STYLE[entry.state]}")),
        Text(_error(entry), "red"),
        Text(),
        *_facts(_about(entry)),
    ]
    if record is None:
        parts += [Text(), Text("Kafka no longer retains its record", "yellow")]
    else:
        parts += [Text(), *_folded(record.headers, with_headers=with_headers)]
        parts += [
            Text(),
            Text.assemble(("value", "bold"), f"  {_sized(record.value)}"),
            *_value(record.value),
        ]
    for found in previews:
        parts += [Text(), *_data(found)]
    parts += [Text(), Text("what to do", "bold")]
    parts += [_line(f"  onpoint dlq {what}") for what in _next_steps(entry)]
    return Group(*parts)


def _about(entry: Entry) -> Iterable[tuple[str, str]]:
    dead_letter = entry.dead_letter
    yield "record", str(dead_letter.original) if dead_letter.original else "unknown: it cannot be replayed"
    if (url := _URL.search(one_line(dead_letter.message))) is not None:
        yield "URL", url[0].rstrip(".,;:)")
    if dead_letter.dataset:
        yield "dataset", dead_letter.dataset
    if dead_letter.run_id:
        yield "run", dead_letter.run_id
    if dead_letter.batch_id:
        yield "batch", dead_letter.batch_id
    yield "stage", dead_letter.stage
    if dead_letter.exception:
        yield "exception", dead_letter.exception
    tried = quantity(dead_letter.tries, "time") if dead_letter.tries is not None else "unknown"
    first = f", first at {moment(dead_letter.first_failed_at)}" if dead_letter.first_failed_at else ""
    yield "tried", f"{tried}{first}"
    yield (
        "died",
        moment(dead_letter.failed_at) + (f", {entry.deaths} dead letters in all" if entry.deaths > 1 else ""),
    )
    if (action := entry.last_action) is not None:
        verb = "replayed" if action.action == "replay" else "discarded"
        why = f": {action.reason}" if action.reason else ""
        before = "" if action.position == dead_letter.position else ", before it died again"
        yield verb, f"by {action.actor}, {moment(action.at)}{before}{why}"


def _folded(headers: Headers, *, with_headers: bool) -> Iterable[RenderableType]:
    if with_headers:
        return [Text("headers", "bold"), *_facts(_headers(headers))]
    return [Text.assemble(("headers", "bold"), (f"  {number(len(headers))}: --headers shows them", "dim"))]


def _headers(headers: Headers) -> Iterable[tuple[str, str]]:
    for name, value in headers:
        yield name, "(null)" if value is None else as_text(value)


def _facts(facts: Iterable[tuple[str, str]]) -> Iterable[RenderableType]:
    pairs = [(one_line(name), one_line(value)[:MAX_TEXT_CHARS]) for name, value in facts]
    width = max((cell_len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        yield _line(Text.assemble((f"  {set_cell_size(name, width)}", "dim"), f"  {value}"))


def _value(value: bytes | None) -> Iterable[RenderableType]:
    lines = pretty(value).splitlines()
    yield from (_line(f"  {line}") for line in lines[:MAX_VALUE_LINES])
    if len(lines) > MAX_VALUE_LINES:
        yield Text(f"  and {quantity(len(lines) - MAX_VALUE_LINES, 'line')} more: --json has them all", "dim")


def pretty(value: bytes | None) -> str:
    """JSON indented, anything else as it is."""
    if value is None:
        return ""
    try:
        return printable(json.dumps(json.loads(value), indent=2, ensure_ascii=False))
    except (ValueError, RecursionError):
        return printable(as_text(value))


def as_text(value: bytes) -> str:
    r"""UTF-8; bytes that are none are spelt `\xff`."""
    return value.decode("utf-8", "backslashreplace")


def _data(found: Preview) -> Iterable[RenderableType]:
    artifact = found.artifact
    yield Text.assemble(
        ("data", "bold"), f"  {quantity(artifact.rows, 'row')}, {size(artifact.bytes)}, {artifact.format}"
    )
    yield _line(Text(f"  {printable(artifact.uri)}", "dim"))
    if found.problem is not None:
        problem = one_line(found.problem).replace(artifact.uri, "the object")
        yield Text(f"  its rows cannot be shown: {problem}", "yellow")
    for place, row in enumerate(found.rows, start=1):
        yield Text(f"  row {place}", "dim")
        pairs = row.items() if isinstance(row, dict) else [("value", row)]
        yield from _facts((f"  {name}", plain(value)) for name, value in pairs)


def plain(value: Any) -> str:
    """A value of a row: text as it is, all else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False, default=str)


def _next_steps(entry: Entry) -> Iterable[str]:
    name = entry.dead_letter.position
    if entry.state == "resolved":
        yield f"show {name} --json   everything about it, for programs"
        return
    if entry.dead_letter.original is not None and not entry.dead_letter.is_truncated:
        yield f"replay {name}   mend the cause first: it dies again of the same"
    if entry.state != "discarded":
        yield f"discard {name} --reason '…'"


def _error(entry: Entry) -> str:
    dead_letter = entry.dead_letter
    text = cause_first(one_line(dead_letter.message))[:MAX_TEXT_CHARS]
    return text or one_line(dead_letter.exception) or "its headers give no error"


def cause_first(message: str) -> str:
    """The cause of an error before its consequence."""
    for led_to, words in _LED_TO:
        if found := led_to.fullmatch(message):
            return f"{cause_first(found['cause'])} ({words.format(**found.groupdict())})"
    return message


_LED_TO = (
    (
        re.compile(r"every request failed \((?P<count>[0-9]+)\); the last: (?P<cause>.+)"),
        "every request failed, {count} in all",
    ),
    (re.compile(r"there is no plan: (?P<cause>.+)"), "so nothing was planned"),
    (
        re.compile(r"dead in run (?P<run>\S+) at the (?P<stage>\w+): (?P<cause>.+)"),
        "its batch failed in run {run} at the {stage}",
    ),
)
"""Messages whose cause stands at their end."""

_URL = re.compile(r"https?://\S+")


def _sized(value: bytes | None) -> str:
    return "none" if value is None else size(len(value))


def _line(text: str | Text) -> Text:
    line = Text(text) if isinstance(text, str) else text
    line.no_wrap, line.overflow = True, "ignore"
    return line
