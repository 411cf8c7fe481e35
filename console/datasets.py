"""`onpoint datasets`: what can be crawled."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.table import Table

from console import environment
from console.result import print_json

if TYPE_CHECKING:
    from shared.datasets.model import Dataset

EXAMPLES = """\b
Examples:
  onpoint datasets
  onpoint datasets --json | jq -r '.[].table'
  ONPOINT_DATASETS_DIR=my-datasets onpoint datasets
"""


def register(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(datasets)


def datasets(
    *, as_json: Annotated[bool, typer.Option("--json", help="A JSON array for programs.")] = False
) -> None:
    """List the datasets: the built-in ones, and those of the files in ONPOINT_DATASETS_DIR."""
    known = list(environment.catalog().values())
    if as_json:
        print_json([document(dataset) for dataset in known])
    else:
        Console().print(render(known), highlight=False)


def document(dataset: "Dataset") -> dict[str, Any]:
    """As its file says it, with the defaults and the environment's replacements filled in."""
    return dataset.model_dump(mode="json", by_alias=True, exclude_none=True)


def render(known: Iterable["Dataset"]) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("dataset", no_wrap=True)
    table.add_column("source")
    table.add_column("table", no_wrap=True)
    table.add_column("key")
    table.add_column("columns", justify="right")
    table.add_column("formats")
    table.add_column("checks", justify="right")
    for dataset in known:
        table.add_row(
            dataset.name,
            dataset.source.name,
            dataset.table,
            ", ".join(dataset.key),
            str(len(dataset.columns)),
            ", ".join(dataset.formats),
            str(len(dataset.checks)),
        )
    return table
