"""`onpoint bench e2e`: measures the whole way on this machine and shows it."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from console.cli import screen
from console.cli.arguments import parse_formats
from console.cli.errors import CommandError
from console.cli.result import print_json
from console.formatting import size
from deploy.local.errors import StackError
from shared.events.topology import SERVICES

if TYPE_CHECKING:
    from deploy.bench import e2e

EXAMPLES = """\b
Examples:
  onpoint bench e2e                         200,000 records, once
  onpoint bench e2e --rows 1000000 --repeat 3
  onpoint bench e2e --second loader         what a second process of it adds
  onpoint bench e2e --formats parquet,csv   with exports
  onpoint bench e2e --rows 1000000 --set ONPOINT_LOADER_WORKERS=1
  onpoint bench e2e --json | jq .ratio

\b
The bench starts a stack of its own and removes it: nobody's data is touched.
Beside it, on the same servers, runs the bare chain: the least that one
program must do for the same result. Run it while the machine has nothing else
to do. With --formats there are exports, which the bare chain has not.

\b
Exit codes: 0 measured and equal in content; 1 not; 2 wrong use.
"""

GROW_EXAMPLES = """\b
Examples:
  onpoint bench grow                0.1, 1 and 5 million records
  onpoint bench grow --rows 100000 --rows 400000 --json
  onpoint bench grow --repeat 3     a noisy machine: the median of three each

\b
Linear is a rate that stays; flat is a peak of memory that stays. Each size
has a stack of its own, which is removed again.
"""

OBSERVED_EXAMPLES = """\b
Examples:
  onpoint bench observed
  onpoint bench observed --rows 1000000 --repeat 3 --json | jq .cost_cpu

\b
The bench starts three stacks of its own, which take 8 GB, and removes them.
Runs go by turns, so what else the machine does falls on all of them alike.
"""

DASK_EXAMPLES = """\b
Examples:
  onpoint bench dask                      what a cluster on this machine costs
  onpoint bench dask --workers 8 --elsewhere 2 --rows 100 --batches 64

\b
The bench starts a stack of its own and removes it. With --elsewhere workers
wait instead of computing: how well many machines would be kept busy.
"""

PROCESS_EXAMPLES = """\b
Examples:
  onpoint bench process                     100,000 records of about 500 bytes
  onpoint bench process --rows 20000 --repeat 10
  onpoint bench process --json | jq '.[].of_polars'

\b
The processor's whole work on one batch but its commit, from raw lines in
staging to Parquet in staging, and by turns with it bare polars without any
check, and Dask on pandas. CPU time counts, not the clock's. It needs no
server, and the extras `bench` and `dask` for the others.
"""

TRANSFORM_EXAMPLES = """\b
Examples:
  onpoint bench transform
  onpoint bench transform --rows 10000 --repeat 20 --json | jq .cost

\b
One batch is processed from raw lines to Parquet, in this process and those
that it starts, without a stack. CPU time counts, not the clock's.
"""

LAKE_EXAMPLES = """\b
Examples:
  onpoint bench lake
  onpoint bench lake --rows 500000 --repeat 5 --json

\b
Rows that are sorted already, rows in any order, and rows of 100 folders.
Beside them: read, concatenate, write, hash and upload with bare pyarrow,
which sorts nothing and makes one file.
"""

CONVERT_EXAMPLES = """\b
Examples:
  onpoint bench convert                     100,000 records, three turns
  onpoint bench convert --rows 1000000 --repeat 1
  onpoint bench convert --json | jq '.[].ratio'

\b
Every export format writes the same records of about 500 bytes, and in turns
with it the writer that people use instead: pandas with its defaults,
openpyxl, fastavro. It needs no server, and the extra `bench` for the others.
"""

CDC_EXAMPLES = """\b
Examples:
  onpoint bench cdc
  onpoint bench cdc --rows 1000000 --repeat 1 --json | jq .changes_per_cpu_s

\b
Changes as Debezium sends them go from Kafka to Parquet in the lake: by the
sink of change capture, and by consumers that take one record at a time
through the steps of a sink of Kafka Connect, with Python's json and with
orjson. CPU time counts, not the clock's.
The bench starts a stack of its own and removes it.
"""

CDC_LOAD_EXAMPLES = """\b
Examples:
  onpoint bench cdc-load
  onpoint bench cdc-load --rows 100000 --json | jq .load_s

\b
The first registration of a table with rows: the clock runs from the command to
the last object in the lake, through PostgreSQL, Debezium, Kafka and the sink.
Then a single change, on a table at rest. The bench starts a stack of its own
and removes it.
"""

GROW_ROWS = (100_000, 1_000_000, 5_000_000)

Setting = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A setting of the services; repeatable."),
]
Formats = Annotated[
    list[str] | None,
    typer.Option("--formats", metavar="F,...", help="Exports to write as well; none by default."),
]
Repeat = Annotated[
    int, typer.Option("--repeat", metavar="N", min=1, max=100, help="Runs of each; the median counts.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for programs.")]

bench = typer.Typer(no_args_is_help=True, help="Measure how fast the pipeline is on this machine.")


def register(app: typer.Typer) -> None:
    app.add_typer(bench, name="bench")


@bench.callback()
def about() -> None:
    """Measure how fast the pipeline is on this machine."""


@bench.command("e2e", epilog=EXAMPLES)
def end_to_end(
    *,
    rows: Annotated[
        int, typer.Option("--rows", metavar="N", min=1, max=100_000_000, help="Records of about 500 bytes.")
    ] = 200_000,
    repeat: Repeat = 1,
    second: Annotated[
        list[str] | None,
        typer.Option("--second", metavar="SERVICE", help="Run a second process of it; repeatable."),
    ] = None,
    formats: Formats = None,
    setting: Setting = None,
    as_json: AsJson = False,
) -> None:
    """The whole way for N generated records, the bare chain beside it."""
    from deploy.bench import e2e

    doubled = tuple(second or ())
    if unknown := [name for name in doubled if name not in SERVICES]:
        raise typer.BadParameter(f"there is no service {unknown[0]!r}: {', '.join(SERVICES)}")
    exports = parse_formats(formats or [])
    found = _measure(
        e2e.Bench(rows, repeat, _settings(setting or []), report=_report, doubled=doubled, formats=exports)
    )
    if as_json:
        print_json(found)
    else:
        _show(found)


@bench.command("grow", epilog=GROW_EXAMPLES)
def grow(
    *,
    rows: Annotated[
        list[int] | None,
        typer.Option("--rows", metavar="N", min=1, max=100_000_000, help="Records of one run; repeatable."),
    ] = None,
    repeat: Repeat = 1,
    formats: Formats = None,
    setting: Setting = None,
    as_json: AsJson = False,
) -> None:
    """Ever more records: is the rate the same, memory flat?"""
    from deploy.bench import e2e

    chosen, exports = _settings(setting or []), parse_formats(formats or [])
    found = [
        _measure(e2e.Bench(count, repeat, chosen, report=_report, formats=exports))
        for count in sorted(rows or GROW_ROWS)
    ]
    if as_json:
        print_json(found)
    else:
        _show_growth(found)


@bench.command("observed", epilog=OBSERVED_EXAMPLES)
def observed(
    *,
    rows: Annotated[
        int, typer.Option("--rows", metavar="N", min=1, max=100_000_000, help="Records of one run.")
    ] = 200_000,
    repeat: Repeat = 5,
    as_json: AsJson = False,
) -> None:
    """What traces, lineage, Prometheus and Alertmanager cost."""
    from deploy.bench.observed import measure

    try:
        found = measure(rows, repeat, _report)
    except StackError as error:
        raise CommandError(f"the bench's own stack did not start: {error}") from error
    if as_json:
        print_json(found)
        return
    print(f"{rows:,} records, all processes of the stack, the median of {repeat}:")
    print(f"  alone   {found['cpu_s']['alone']:.2f} CPU s, {found['seconds']['alone']:.2f} s")
    for way, goal in found["goal"].items():
        cpu, time = 100 * found["cost_cpu"][way], 100 * found["cost_time"][way]
        print(f"  {way:7} {cpu:+.1f} % CPU, {time:+.1f} % time (goal: {100 * goal:.0f} % at most)")


@bench.command("dask", epilog=DASK_EXAMPLES)
def on_dask(
    *,
    rows: Annotated[
        int, typer.Option("--rows", metavar="N", min=1, max=100_000, help="Records of one batch.")
    ] = 50_000,
    batches: Annotated[
        int, typer.Option("--batches", metavar="N", min=1, max=1000, help="Batches of each way.")
    ] = 12,
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", min=1, max=64, help="Workers of the Dask cluster.")
    ] = 2,
    elsewhere: Annotated[
        float,
        typer.Option(
            "--elsewhere",
            metavar="S",
            min=0,
            help="Each batch takes a worker S seconds, as if it had its own machine.",
        ),
    ] = 0.0,
    as_json: AsJson = False,
) -> None:
    """The processor's batches on a Dask cluster of this machine, and without it."""
    from deploy.bench import dask

    try:
        found = dask.measure(dask.Plan(rows, batches, workers, elsewhere))
    except StackError as error:
        raise CommandError(f"the bench's own stack did not start: {error}") from error
    if as_json:
        print_json(found.document())
    elif elsewhere:
        told = f"{batches} batches of {elsewhere:g} s on {workers} workers"
        print(f"{told}: {found.cluster_s:.1f} s, ideal {found.ideal_s:.1f} s")
    else:
        print(
            f"{batches} batches of {rows:,} rows: here {found.local_s:.1f} s, on {workers} workers {found.cluster_s:.1f} s"
        )
        print(
            f"a batch of one row: here {found.local_small_ms:.0f} ms, on a worker {found.cluster_small_ms:.0f} ms"
        )


@bench.command("process", epilog=PROCESS_EXAMPLES)
def process(
    *,
    rows: Annotated[
        int, typer.Option("--rows", metavar="N", min=1, max=1_000_000, help="Records of the batch.")
    ] = 100_000,
    repeat: Repeat = 5,
    as_json: AsJson = False,
) -> None:
    """The processor's work on a batch beside bare polars and beside Dask on pandas."""
    try:
        from deploy.bench.process import measure
    except ModuleNotFoundError as error:
        raise CommandError(f"{error.name} is not installed: pip install -e '.[bench,dask]'") from error

    found = measure(rows, repeat)
    if as_json:
        print_json(found)
    else:
        _show_process(found)


@bench.command("transform", epilog=TRANSFORM_EXAMPLES)
def transform(
    *,
    rows: Annotated[
        int, typer.Option("--rows", metavar="N", min=1, max=1_000_000, help="Rows of the batch.")
    ] = 100_000,
    repeat: Repeat = 5,
    as_json: AsJson = False,
) -> None:
    """What a transform of five SQL expressions costs beside the same batch without one."""
    from deploy.bench.transform import measure

    found = measure(rows, repeat)
    if as_json:
        print_json(found)
        return
    print(f"{found['rows']:,} rows of {found['row_bytes']} bytes, CPU seconds, the least of {repeat}:")
    print(f"  without a transform  {found['plain_s']:.2f}")
    print(f"  with five expressions  {found['transformed_s']:.2f}, {100 * found['cost']:.0f} % more")


@bench.command("cdc", epilog=CDC_EXAMPLES)
def cdc(
    *,
    rows: Annotated[
        int, typer.Option("--rows", metavar="N", min=1, max=10_000_000, help="Changes of a table.")
    ] = 300_000,
    repeat: Repeat = 3,
    as_json: AsJson = False,
) -> None:
    """Changes from Kafka to Parquet, beside consumers of one row at a time."""
    from deploy.bench.cdc import measure

    try:
        found = measure(rows, repeat)
    except StackError as error:
        raise CommandError(str(error)) from error
    if as_json:
        print_json(found)
        return
    print(f"{found['rows']:,} changes, per CPU second, the median of {repeat}:")
    print(f"  change capture          {found['changes_per_cpu_s']:,.0f}")
    print(
        f"  one row at a time       {found['row_at_a_time_per_cpu_s']:,.0f}, {found['ratio']:.1f} times slower"
    )
    orjson = found["row_at_a_time_orjson_per_cpu_s"]
    print(f"  the same with orjson    {orjson:,.0f}, {found['ratio_orjson']:.1f} times slower")
    print(f"  reading from Kafka only {found['read_only_per_cpu_s']:,.0f}")
    print("by stage, in µs a change: change capture, one row at a time, and their ratio")
    for stage, spent in found["stages_us"].items():
        words = stage.replace("_", " ")
        print(f"  {words:<23} {spent['sink']:5.1f} {spent['row']:5.1f} {spent['row'] / spent['sink']:5.1f}")
    print(f"  peak of memory with all {size(found['peak_rss_bytes'])}")


@bench.command("cdc-load", epilog=CDC_LOAD_EXAMPLES)
def cdc_load(
    *,
    rows: Annotated[
        int, typer.Option("--rows", metavar="N", min=1, max=100_000_000, help="Rows of the table.")
    ] = 1_000_000,
    as_json: AsJson = False,
) -> None:
    """A full load of a table, and the lag of one change at rest."""
    from deploy.bench.cdc_load import measure

    try:
        found = measure(rows, lambda line: print(line, file=sys.stderr, flush=True))
    except StackError as error:
        raise CommandError(str(error)) from error
    if as_json:
        print_json(found)
        return
    print(
        f"full load of {found['rows']:,} rows: {found['load_s']:.1f} s, {found['rows_per_s']:,.0f} rows a second"
    )
    print(f"one change at rest: {found['lag_at_rest_s']:.1f} s until its object is in the lake")


@bench.command("convert", epilog=CONVERT_EXAMPLES)
def convert(
    *,
    rows: Annotated[
        int, typer.Option("--rows", metavar="N", min=1, max=10_000_000, help="Records of 500 bytes.")
    ] = 100_000,
    repeat: Repeat = 3,
    as_json: AsJson = False,
) -> None:
    """Each export format beside the writer that people use for it."""
    try:
        from deploy.bench.convert import measure
    except ModuleNotFoundError as error:
        raise CommandError(f"{error.name} is not installed: pip install -e '.[bench]'") from error

    found = measure(rows, repeat)
    if as_json:
        print_json(found)
    else:
        _show_formats(found)


@bench.command("lake", epilog=LAKE_EXAMPLES)
def lake(
    *,
    rows: Annotated[
        int, typer.Option("--rows", metavar="N", min=1, max=2_000_000, help="Records of 500 bytes.")
    ] = 200_000,
    repeat: Repeat = 3,
    as_json: AsJson = False,
) -> None:
    """Batches into an object of the lake beside bare pyarrow."""
    from deploy.bench.lake import measure

    found = measure(rows, repeat)
    if as_json:
        print_json(found)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("rows", "files", "size", "CPU", "pyarrow", "ratio", "goal", "peak memory"):
        table.add_column(heading, justify="left" if heading == "rows" else "right")
    for one in found:
        cells = (
            one["case"],
            f"{one['files']}",
            size(one["bytes"]),
            f"{one['cpu_s']:.2f} s",
            f"{one['bare_cpu_s']:.2f} s",
        )
        goal = "" if one["goal"] is None else f"{one['goal']:g}"
        table.add_row(*cells, f"{one['ratio']:.2f}", goal, size(one["peak_rss_bytes"]))
    screen.stdout().print(table)


def _show_formats(found: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("format", "rows/s", "size", "beside", "rows/s", "size", "ratio", "goal"):
        table.add_column(heading, justify="left" if heading in {"format", "beside"} else "right")
    for one in found:
        own = (one["format"], f"{one['rows_per_s']:,.0f}", size(one["bytes"]))
        if "ratio" not in one:
            table.add_row(*own)
            continue
        beside = one["rows_per_s"] / one["ratio"]
        table.add_row(
            *own,
            one["beside"],
            f"{beside:,.0f}",
            size(one["beside_bytes"]),
            f"{one['ratio']:.1f}",
            f"{one['goal']:g}",
        )
    screen.stdout().print(table)


def _show_process(found: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in (
        "records",
        "bytes",
        "rows per CPU s",
        "CPU s",
        "polars",
        "ratio",
        "goal",
        "Dask",
        "ratio",
        "goal",
    ):
        table.add_column(heading, justify="left" if heading == "records" else "right")
    for one in found:
        seconds = one["cpu_s"]
        table.add_row(
            one["case"],
            f"{one['row_bytes']:,}",
            f"{one['rows_per_cpu_s']:,}",
            f"{seconds['processor']:.2f}",
            f"{seconds['polars']:.2f}",
            f"{one['of_polars']:.2f}",
            f"{one['of_polars_goal']:g}",
            f"{seconds['dask']:.2f}",
            f"{one['of_dask']:.1f}",
            f"{one['of_dask_goal']:g}",
        )
    screen.stdout().print(table)


def _measure(chosen: "e2e.Bench") -> dict[str, Any]:
    from deploy.bench import e2e

    try:
        return e2e.document(chosen.run())
    except StackError as error:
        raise CommandError(f"the bench's own stack did not start: {error}") from error


def _report(line: str) -> None:
    print(line, file=sys.stderr)


def _settings(pairs: list[str]) -> dict[str, str]:
    found = dict(pair.partition("=")[::2] for pair in pairs)
    if wrong := [name for name in found if not name.startswith("ONPOINT_")]:
        raise typer.BadParameter(f"{wrong[0]!r} is not a setting: ONPOINT_NAME=VALUE is expected")
    return found


def _show(found: dict[str, Any]) -> None:
    console = screen.stdout()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("", "busy", "waiting", "CPU", "CPU per million rows", "peak memory"):
        table.add_column(heading, justify="left" if not heading else "right")
    per_million = found["cpu_s_per_million_rows"]
    for kind in ("services", "components"):
        for name, used in found[kind].items():
            table.add_row(
                name,
                *(f"{used[key]:.1f} s" if key in used else "" for key in ("busy_s", "wait_s", "cpu_s")),
                f"{per_million[name]:.1f} s",
                size(used["peak_rss_bytes"]),
            )
        table.add_section()
    console.print(table)
    console.print(
        f"\n{found['rows']:,} records in {found['seconds']:.1f} s: [bold]{found['rows_per_s']:,.0f} rows/s[/bold], "
        f"the bare chain {found['bare_rows_per_s']:,.0f} rows/s, ratio [bold]{found['ratio']:.2f}[/bold]"
    )
    console.print(f"content: {found['content']}", style="dim")


def _show_growth(found: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    services = list(found[0]["services"])
    for heading in ("records", "rows/s", "bare", "ratio", *services):
        table.add_column(heading, justify="right")
    for one in found:
        table.add_row(
            f"{one['rows']:,}",
            f"{one['rows_per_s']:,.0f}",
            f"{one['bare_rows_per_s']:,.0f}",
            f"{one['ratio']:.2f}",
            *(size(one["services"][name]["peak_rss_bytes"]) for name in services),
        )
    screen.stdout().print(table)
