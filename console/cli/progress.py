"""How far a run is, as a terminal or a log shows it. Pure."""

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from console.client.ledger import StageProgress
from console.client.progress import STAGES, Snapshot, ended, fraction, is_over
from console.formatting import duration, number, quantity
from shared.events.topology import Stage

VERB: dict[str, str] = {
    "crawler": "crawl",
    "processor": "process",
    "converter": "convert",
    "loader": "load",
    "s3sink": "store",
}

LEFT = "left"
"""Among the plain lines, the one that is about the whole run."""

LINES_AROUND = 6
"""Of the screen: the heading, the names of the columns, the empty lines and the shell's prompt."""

WIDE = 76
"""Columns from which on there is room for rate and time left."""

WIDER = 100
"""Columns from which on there is room for the lag, too."""


def stages_shown(snapshot: Snapshot) -> tuple[Stage, ...]:
    """The stages that the ledger has of the run; all while it has none."""
    told = {stage for _, stage in snapshot.stages}
    return tuple(name for name in STAGES if name in told) or STAGES


def render(snapshot: Snapshot, *, width: int, height: int) -> RenderableType:
    """A line for each dataset and stage where the screen has room for them, else one for each dataset."""
    head: list[RenderableType] = [_heading(snapshot)]
    if snapshot.phase:
        head.append(Text(snapshot.phase, no_wrap=True, overflow="ellipsis"))
    room = height + 1 - len(head)
    detailed = len(snapshot.datasets) * (len(stages_shown(snapshot)) + 1) + LINES_AROUND <= room
    body = _stage_lines(snapshot, width) if detailed else _dataset_lines(snapshot, width, room)
    parts: list[RenderableType] = [*head, Text(), body]
    if snapshot.note:
        parts += [Text(), Text(snapshot.note, style="yellow")]
    return Group(*parts)


def plain_lines(snapshot: Snapshot) -> dict[str, str]:
    """A line for each dataset of which something is known: for logs and dumb terminals."""
    lines = {}
    for dataset in snapshot.datasets:
        words = [
            f"{VERB[name]} {_batches(stage)} {'batches' if name == STAGES[0] else ''}".rstrip()
            for name in STAGES
            if (stage := snapshot.stages.get((dataset, name))) is not None
        ]
        crawled = snapshot.stages.get((dataset, STAGES[0]))
        if words and crawled is not None:
            lines[dataset] = f"{dataset}: {', '.join(words)}; {quantity(crawled.rows, 'row')} crawled"
    if lines and (left := snapshot.left_s):
        lines[LEFT] = f"about {duration(left)} left"
    return lines


def _heading(snapshot: Snapshot) -> Text:
    text = Text.assemble(
        (snapshot.run_id, "bold"),
        "  ",
        (snapshot.status, "cyan"),
        f"  {duration(snapshot.elapsed_s)}",
        no_wrap=True,
    )
    if left := snapshot.left_s:
        text.append(f", about {duration(left)} left", "dim")
    return text


def _stage_lines(snapshot: Snapshot, width: int) -> Table:
    wide = width >= WIDE
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("stage", max_width=24, no_wrap=True)
    table.add_column()
    # Numbers that grow must not move what is beside them.
    columns = (("batches", 7), ("rows", 14), ("a second", 9), ("left", 10), ("lag", 10))
    for heading, least in columns[: 5 if width >= WIDER else 4 if wide else 2]:
        table.add_column(heading, justify="right", no_wrap=True, min_width=least)
    bar_width = min(40, max(8, width - (78 if width >= WIDER else 66 if wide else 44)))
    for dataset in snapshot.datasets:
        table.add_row(Text(dataset, "bold"))
        for name in stages_shown(snapshot):
            stage = snapshot.stages.get((dataset, name))
            told = None if is_over(stage) else snapshot.estimates.get((dataset, name))
            pace, left = (told.rows_per_s, told.left_s) if told else (None, None)
            lag = stage.lag_s if stage else 0.0
            cells: list[RenderableType] = [
                f"  {VERB[name]}",
                _bar(stage, bar_width),
                Text(_batches(stage), "yellow" if stage and stage.batches_dead else ""),
                quantity(stage.rows, "row") if stage else "",
                Text(f"{number(round(pace))}/s" if pace else "", "dim"),
                Text(duration(left) if left else "", "dim"),
                Text(duration(lag) if lag else "", "dim"),
            ]
            table.add_row(*cells[: len(table.columns)])
    return table


def _dataset_lines(snapshot: Snapshot, width: int, height: int) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    name_width = min(20, max(map(len, snapshot.datasets), default=0))
    table.add_column(width=name_width, no_wrap=True)
    names = stages_shown(snapshot)
    bar_width = min(16, max(7, (width - name_width - 16) // len(names) - 2))
    for name in names:
        table.add_column(VERB[name], width=bar_width)
    table.add_column("rows", justify="right", no_wrap=True, min_width=12)
    shown = _most_interesting(snapshot, max(1, height - LINES_AROUND))
    for dataset in shown:
        stages = [snapshot.stages.get((dataset, name)) for name in names]
        rows = stages[0].rows if stages[0] else 0
        table.add_row(dataset, *(_bar(stage, bar_width) for stage in stages), number(rows))
    hidden = len(snapshot.datasets) - len(shown)
    return Group(table, Text(f"and {number(hidden)} more", "dim")) if hidden else table


def _most_interesting(snapshot: Snapshot, room: int) -> list[str]:
    """All, if there is room; else those that are at work, then those that wait, then those that are over."""
    if len(snapshot.datasets) <= room:
        return list(snapshot.datasets)

    names = stages_shown(snapshot)

    def rank(dataset: str) -> int:
        stages = [snapshot.stages.get((dataset, name)) for name in names]
        if all(is_over(stage) for stage in stages):
            return 2
        return 0 if any(stage is not None and ended(stage) for stage in stages) else 1

    chosen = set(sorted(snapshot.datasets, key=rank)[: room - 1])
    return [dataset for dataset in snapshot.datasets if dataset in chosen]


def _bar(stage: StageProgress | None, width: int) -> ProgressBar:
    done = fraction(stage) or 0.0
    finished = "yellow" if stage is not None and stage.batches_dead else "green"
    return ProgressBar(
        total=1.0,
        completed=done,
        width=width,
        complete_style="cyan",
        finished_style=finished,
        style="bright_black",
    )


def _batches(stage: StageProgress | None) -> str:
    if stage is None:
        return ""
    planned = "" if stage.batches_planned is None else f"/{number(stage.batches_planned)}"
    dead = f" ({number(stage.batches_dead)} dead)" if stage.batches_dead else ""
    return f"{number(ended(stage))}{planned}{dead}"
