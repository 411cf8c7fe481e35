"""What became of a run: tables and lists from the value of `run.completed`. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from console.cli.styles import STATUS_STYLE
from console.formatting import (
    duration,
    moment,
    number,
    one_line,
    printable,
    quantity,
    reasons_in_words,
    size,
)
from shared.events.models import CheckResult, DatasetSummary, RunCompleted
from shared.events.topology import Stage, stages_of

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
        parts += [Text(), _DatasetTables(run)]
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


@dataclass(frozen=True, slots=True)
class _Column:
    heading: str
    value: Callable[[DatasetSummary], int | None]
    """None: it is not known."""
    is_shown: Callable[[DatasetSummary], bool] | None = None
    """Some dataset must have it so; None: always."""
    style: str = ""
    stage: Stage | None = None
    """Whose figure it is: left out where the run does not have the stage."""


def _has_any(value: Callable[[DatasetSummary], int]) -> Callable[[DatasetSummary], bool]:
    return lambda summary: value(summary) > 0


def _optional(heading: str, value: Callable[[DatasetSummary], int], style: str = "") -> "_Column":
    """Shown only where some dataset has any."""
    return _Column(heading, value, _has_any(value), style)


ROW_COLUMNS = (
    # As much came as was promised: the number of crawled rows shows it.
    _Column("promised", lambda d: d.rows_promised, lambda d: d.rows_promised not in {None, d.rows_crawled}),
    _Column("crawled", lambda d: d.rows_crawled),
    _Column("accepted", lambda d: d.rows_accepted),
    _Column("rejected", lambda d: d.rows_rejected, style="yellow"),
    _optional("duplicates", lambda d: d.rows_deduplicated),
    _Column("loaded", lambda d: d.rows_loaded, stage="loader"),
    _optional("superseded", lambda d: d.rows_superseded),
    _optional("not loaded", lambda d: d.rows_not_loaded, "red"),
    _Column("stored", lambda d: d.rows_stored, stage="s3sink"),
    _optional("not stored", lambda d: d.rows_not_stored, "red"),
)


class _DatasetTables:
    """One table where the screen is wide enough, else the rows in one and the files and checks in another."""

    def __init__(self, run: RunCompleted) -> None:
        self._run = run

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        whole = self._table(rows=True, files=True)
        if _needed(console, options, whole) <= options.max_width:
            yield whole
            return
        yield from _uncut(console, options, self._table(rows=True, files=False))
        yield Text()
        yield from _uncut(console, options, self._table(rows=False, files=True))

    def _table(self, *, rows: bool, files: bool) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("dataset", no_wrap=True)
        summaries = self._run.datasets
        stages = stages_of(self._run.from_stage)
        columns = (
            [
                c
                for c in ROW_COLUMNS
                if (c.stage is None or c.stage in stages)
                and (c.is_shown is None or any(map(c.is_shown, summaries.values())))
            ]
            if rows
            else []
        )
        for column in columns:
            table.add_column(column.heading, justify="right", no_wrap=True)
        if files:
            table.add_column("objects", justify="right", no_wrap=True)
            table.add_column("size", justify="right", no_wrap=True)
            table.add_column("exports", no_wrap=not rows)
            table.add_column("checks", no_wrap=True)
        for name, summary in summaries.items():
            cells: list[RenderableType] = [
                name,
                *(_count(column.value(summary), column.style) for column in columns),
            ]
            if files:
                cells += [number(summary.objects_stored), size(summary.bytes_stored)]
                cells += [_exports(summary), _checks(self._run.checks, name)]
            table.add_row(*cells)
        if len(summaries) > 1 and rows:
            table.add_row("", *(_total([column.value(d) for d in summaries.values()]) for column in columns))
        return table


def _needed(console: Console, options: ConsoleOptions, table: Table) -> int:
    return Measurement.get(console, options.update(max_width=10_000), table).maximum


def _uncut(console: Console, options: ConsoleOptions, table: Table) -> RenderResult:
    """Wider than the screen rather than with numbers that have lost their end."""
    width = max(options.max_width, _needed(console, options, table))
    yield from console.render(table, options.update(max_width=width))


def _count(value: int | None, style: str) -> Text:
    return Text("-") if value is None else Text(number(value), style if value else "")


def _total(values: Sequence[int | None]) -> Text:
    """Nothing where a part of it is not known."""
    known = [value for value in values if value is not None]
    return Text(number(sum(known)) if len(known) == len(values) else "", "dim")


def _exports(summary: DatasetSummary) -> str:
    return ", ".join(f"{number(files)} {name}" for name, files in sorted(summary.exports.items())) or "-"


def _checks(checks: Sequence[CheckResult], dataset: str) -> Text:
    own = [check for check in checks if check.dataset == dataset]
    failed = [check for check in own if not check.passed]
    if not own:
        return Text("-")
    if not failed:
        return Text(f"{len(own)} passed", "green")
    worst = "red" if any(check.severity == "error" for check in failed) else "yellow"
    return Text(f"{len(failed)} of {len(own)} failed", worst)


def _rejected_rows(run: RunCompleted) -> RenderableType | None:
    counts = {
        # A run of an earlier version knows no reasons.
        name: reasons_in_words(_most_first(summary.rejected_by_reason))
        or quantity(summary.rows_rejected, "row")
        for name, summary in run.datasets.items()
        if summary.rows_rejected
    }
    return rejections(run.run_id, counts) if counts else None


def rejections(run_id: str, counts: Mapping[str, str]) -> RenderableType:
    """How many rows of each dataset were refused for what, in words, and the command that shows them."""
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
        said = f"{check.value:,} {verb} {'agrees' if check.value == 1 else 'agree'} with another in {columns}"
    elif kind == "not_null" and columns:
        said = f"{check.value:,} {verb} {'has' if check.value == 1 else 'have'} no {columns}"
    else:
        return f"{_found(check.value)}, expected {_expected(check)}"
    return f"{said}, expected {_expected(check)}" if check.expected.get("max") else said


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
    heading = f"{quantity(len(run.dead), 'batch')} given up"
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
