"""`onpoint bench`: one command for each measurement; what they print for programs and for people."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.cli.arguments import parse_formats
from console.cli.errors import CommandError
from console.cli.result import print_json
from console.formatting import size
from deploy.bench import tables
from deploy.bench.examples import (
    CDC_EXAMPLES,
    CDC_LOAD_EXAMPLES,
    CONVERT_EXAMPLES,
    DASK_EXAMPLES,
    E2E_EXAMPLES,
    GROW_EXAMPLES,
    LAKE_EXAMPLES,
    OBSERVED_EXAMPLES,
    PROCESS_EXAMPLES,
    TRANSFORM_EXAMPLES,
)
from deploy.local.errors import StackError
from shared.events.topology import SERVICES

if TYPE_CHECKING:
    from deploy.bench import e2e

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


@bench.command("e2e", epilog=E2E_EXAMPLES)
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
        tables.show_run(found)


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
        tables.show_growth(found)


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
        tables.show_process(found)


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
        tables.show_formats(found)


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
    tables.show_objects(found)


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
