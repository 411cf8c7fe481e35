"""`onpoint datasets`: what can be crawled."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import typer
from rich.console import RenderableType
from rich.table import Table

from console.cli import environment, screen
from console.cli.errors import FAILED
from console.cli.options import ArrayAsJson
from console.cli.result import print_json
from console.formatting import printable, quantity

if TYPE_CHECKING:
    from shared.datasets.catalog import RefusedFile
    from shared.datasets.model import Dataset

EXAMPLES = """\b
Examples:
  onpoint datasets
  onpoint datasets --json | jq -r '.[].table'
  onpoint datasets --json | jq '.[] | select(.refused)'   the bad files
  ONPOINT_DATASETS_DIR=my-datasets onpoint datasets

\b
Exit codes: 0 every file can be used; 1 at least one cannot; 2 wrong use.
"""


def register(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(datasets)


def datasets(*, as_json: ArrayAsJson = False) -> None:
    """List the datasets: the built-in ones, and those of the files in ONPOINT_DATASETS_DIR.

    Files that cannot be used come last, with the line and the reason.
    """
    catalog = environment.catalog()
    if as_json:
        print_json([*map(document, catalog.values()), *map(refusal, catalog.refused)])
    else:
        screen.stdout().print(render(catalog.values()), highlight=False)
        for line in mistakes_in(catalog.refused):
            print(line)
    if catalog.refused:
        raise typer.Exit(FAILED)


def document(dataset: "Dataset") -> dict[str, Any]:
    """As in its file, with the defaults and the environment's replacements filled in."""
    code = {"transform": {"__all__": {"code"}}}
    return dataset.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=code)


def refusal(refused: "RefusedFile") -> dict[str, Any]:
    return {
        "name": refused.name,
        "refused": True,
        "file": str(refused.path),
        "line": refused.line,
        "reason": refused.reason,
    }


def mistakes_in(refused: Sequence["RefusedFile"]) -> Iterator[str]:
    if refused:
        yield ""
        yield f"{quantity(len(refused), 'dataset file')} cannot be used:"
    for file in refused:
        for mistake in file.mistakes():
            yield f"  {printable(mistake)}"


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
