"""The results of `onpoint bench` as tables for people."""

from typing import Any

from rich.table import Table

from console.cli import screen
from console.formatting import size


def show_formats(found: list[dict[str, Any]]) -> None:
    """Formats beside another writer: rows a second, bytes, ratio."""
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


def show_process(found: list[dict[str, Any]]) -> None:
    """The processor beside polars and Dask: CPU seconds, ratios."""
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


def show_run(found: dict[str, Any]) -> None:
    """One run: seconds and memory of each process, then the rates."""
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


def show_growth(found: list[dict[str, Any]]) -> None:
    """Runs of several sizes: rates, and the peak memory of each service."""
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


def show_objects(found: list[dict[str, Any]]) -> None:
    """Objects of the lake beside bare pyarrow: CPU seconds, ratio, peak memory."""
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
