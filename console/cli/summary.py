"""What became of a run: tables and lists from the value of `run.completed`. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.console import Group, RenderableType
from rich.text import Text

from console.cli.styles import STATUS_STYLE
from console.cli.summary_table import DatasetTables
from console.formatting import (
    duration,
    format_reasons,
    moment,
    number,
    one_line,
    printable,
    quantity,
)
from shared.events.models import CheckResult, RunCompleted

SHOWN = 10
"""Of datasets with rejected rows, warnings, failed checks, dead batches and missing pages each; `--json` has all."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the results of runs are, from where the reader sits."""

    psql: str
    """The command that opens the database."""
    lake_bucket: str | None
    table_of: Callable[[str], str]
    """Table of a dataset."""


def render(run: RunCompleted, places: Places) -> RenderableType:
    """Print it with `crop=False`: lines to copy are never broken or cut."""
    parts: list[RenderableType] = [_heading(run)]
    if run.datasets:
        parts += [Text(), DatasetTables(run)]
    for section in (
        _rejected_rows(run),
        _warnings(run),
        _failed_checks(run),
        _dead_batches(run),
        _missing_pages(run),
        _where_to_look(run, places),
    ):
        if section is not None:
            parts += [Text(), section]
    return Group(*parts)


def _heading(run: RunCompleted) -> RenderableType:
    """Run, status and reason come first."""
    lines = [Text.assemble(run.run_id, "  ", (run.status, STATUS_STYLE[run.status]))]
    if run.reason:
        lines.append(Text(one_line(run.reason), STATUS_STYLE[run.status].removeprefix("bold ")))
    took = duration((run.finished_at - run.requested_at).total_seconds())
    lines.append(Text(f"asked {moment(run.requested_at)}, took {took}"))
    return Group(*lines)


def _rejected_rows(run: RunCompleted) -> RenderableType | None:
    counts = {
        # A run of an earlier version knows no reasons.
        name: format_reasons(_most_first(summary.rejected_by_reason))
        or quantity(summary.rows_rejected, "row")
        for name, summary in run.datasets.items()
        if summary.rows_rejected
    }
    return rejections(run.run_id, counts) if counts else None


def rejections(run_id: str, counts: Mapping[str, str]) -> RenderableType:
    """How many rows of each dataset were refused, by reason, and the command that shows them."""
    width = max(map(len, counts), default=0)
    lines = [Text.assemble(f"  {name:<{width}}  ", (words, "yellow")) for name, words in counts.items()]
    if len(lines) > SHOWN:
        lines[SHOWN:] = [Text(f"  and {number(len(lines) - SHOWN)} more datasets", "dim")]
    hint = _line(f"  onpoint quarantine {run_id} shows them")
    hint.stylize("dim")
    return Group(Text("rejected rows", "bold"), *lines, hint)


def _most_first(reasons: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(reasons.items(), key=lambda entry: (-entry[1], entry[0])))


def _warnings(run: RunCompleted) -> RenderableType | None:
    return _section("warnings", [Text(one_line(warning), "yellow") for warning in run.warnings])


def _failed_checks(run: RunCompleted) -> RenderableType | None:
    failed = sorted((check for check in run.checks if not check.passed), key=lambda check: check.severity)
    return _section(
        "failed checks",
        [
            Text.assemble(
                (f"{check.severity:<5}", "red" if check.severity == "error" else "yellow"),
                "  ",
                one_line(f"{check.dataset}: {check.name}: {_what_it_found(check)}"),
            )
            for check in failed
        ],
    )


def _what_it_found(check: CheckResult) -> str:
    """A sentence on the rows, by the kind of the check, which its name begins with."""
    kind, _, columns = check.name.rstrip(")").partition("(")
    if not isinstance(check.value, int):
        return f"could not run: {_found(check.value)}"
    if kind == "row_count":
        return f"{quantity(check.value, 'row')}, expected {_expected(check)}"
    verb = "row" if check.value == 1 else "rows"
    if kind == "unique" and columns:
        found = (
            f"{check.value:,} {verb} {'agrees' if check.value == 1 else 'agree'} with another in {columns}"
        )
    elif kind == "not_null" and columns:
        found = f"{check.value:,} {verb} {'has' if check.value == 1 else 'have'} no {columns}"
    else:
        return f"{_found(check.value)}, expected {_expected(check)}"
    return f"{found}, expected {_expected(check)}" if check.expected.get("max") else found


def _found(value: float | str | None) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _expected(check: CheckResult) -> str:
    words = {"min": "at least", "max": "at most"}
    return (
        ", ".join(f"{words.get(name, name)} {_found(value)}" for name, value in check.expected.items())
        or "otherwise"
    )


def _dead_batches(run: RunCompleted) -> RenderableType | None:
    """By dataset, stage and reason. What a crawler's dead batch did not fetch is among the missing pages."""
    told = {page.dataset for page in run.missing}
    counts: Counter[tuple[str, str, str]] = Counter(
        (dead.dataset, dead.stage, dead.reason)
        for dead in run.dead
        if dead.stage != "crawler" or dead.dataset not in told
    )
    if not run.dead:
        return None
    hint = _line(f"  onpoint dlq list --run {run.run_id} shows why")
    hint.stylize("dim")
    heading = f"{quantity(len(run.dead), 'batch')} failed"
    section = _section(heading, _in_columns([("dataset", "stage", "reason", "batches"), *_as_texts(counts)]))
    return Group(section or Text(heading, "bold"), hint)


def _as_texts(counts: Mapping[tuple[str, str, str], int]) -> Iterable[tuple[str, ...]]:
    for (dataset, stage, reason), batches in counts.items():
        yield one_line(dataset), stage, one_line(reason), number(batches)


def _in_columns(rows: Sequence[Sequence[str]]) -> list[Text]:
    """The first row names the columns; nothing where it stands alone."""
    if len(rows) == 1:
        return []
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    lines = [
        _line("  ".join(set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip())
        for row in rows
    ]
    lines[0].stylize("dim")
    return lines


def _missing_pages(run: RunCompleted) -> RenderableType | None:
    return _section(
        "missing pages", [_line(f"{page.dataset}  {page.reason}  {page.url}") for page in run.missing]
    )


def _line(text: str) -> Text:
    """Not broken, however long: it ends with something to copy."""
    return Text(printable(text), no_wrap=True, overflow="ignore")


def _section(heading: str, lines: Sequence[Text]) -> RenderableType | None:
    if not lines:
        return None
    shown: list[RenderableType] = [
        Text(heading, "bold"),
        *(_indented(line) for line in lines[:SHOWN]),
    ]
    if len(lines) > SHOWN:
        shown.append(Text(f"  and {number(len(lines) - SHOWN)} more: --json lists them all", "dim"))
    return Group(*shown)


def _indented(line: Text) -> Text:
    line.pad_left(2)
    return line


def _where_to_look(run: RunCompleted, places: Places) -> RenderableType | None:
    lines = list(_results_of_first_dataset(run, places))
    if places.lake_bucket and run.datasets:
        lines.append(("listing", f"s3://{places.lake_bucket}/_runs/{run.run_id}.json"))
    lines.append(("again", f"onpoint status {run.run_id}"))
    return Group(
        Text("where to look", "bold"),
        *(_line(f"  {label:<8} {what}") for label, what in lines),
    )


def _results_of_first_dataset(run: RunCompleted, places: Places) -> Iterable[tuple[str, str]]:
    loaded = next((name for name, summary in run.datasets.items() if summary.rows_loaded), None)
    if loaded is not None:
        table = places.table_of(loaded)
        yield "rows", f"{places.psql} -c 'SELECT * FROM {table} LIMIT 5'"  # noqa: S608 - shown to a person, not run
    if places.lake_bucket is None:
        return
    bucket = f"s3://{places.lake_bucket}"
    stored = next((name for name, summary in run.datasets.items() if summary.objects_stored), None)
    if stored is not None:
        yield "lake", f"{bucket}/{stored}/{run.requested_at:year=%Y/month=%m/day=%d/hour=%H}/"
    exported = next((name for name, summary in run.datasets.items() if any(summary.exports.values())), None)
    if exported is not None:
        yield "exports", f"{bucket}/exports/{run.run_id}/{exported}/"
