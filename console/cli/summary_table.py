"""The datasets of a run in a table: rows by what became of them, objects, exports and checks. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from console.formatting import number, size
from shared.events.models import CheckResult, DatasetSummary, RunCompleted
from shared.events.topology import Stage, stages_of


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
    _optional("filtered", lambda d: d.rows_filtered),
    _optional("added", lambda d: d.rows_added),
    _Column("loaded", lambda d: d.rows_loaded, stage="loader"),
    _optional("superseded", lambda d: d.rows_superseded),
    _optional("not loaded", lambda d: d.rows_not_loaded, "red"),
    _Column("stored", lambda d: d.rows_stored, stage="s3sink"),
    _optional("not stored", lambda d: d.rows_not_stored, "red"),
)


class DatasetTables:
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
