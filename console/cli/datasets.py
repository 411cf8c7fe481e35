"""`onpoint datasets`: what can be crawled, whether it can be, and what becomes of its records."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Table

from console.cli import environment, screen
from console.cli.errors import FAILED
from console.cli.options import ArrayAsJson, ObjectAsJson
from console.cli.profile import EXAMPLES as PROFILE_EXAMPLES
from console.cli.profile import profile
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


CHECK_EXAMPLES = """\b
Examples:
  onpoint datasets check
  onpoint datasets check customers orders
  onpoint datasets check ./orders.yaml                 a file, wherever it is

\b
The steps of a transform run on no rows: SQL, columns and types are told, and
functions that cannot be loaded. A function is not called.

\b
Exit codes: 0 every file can be used; 1 at least one cannot; 2 wrong use.
"""

PREVIEW_EXAMPLES = """\b
Examples:
  onpoint datasets preview customers
  onpoint datasets preview customers --run 2026-11-23-daily --rows 100
  onpoint datasets preview customers --json | jq '.lines[] | select(.refused)'

\b
Lines that a run has stored are typed and transformed by the file as it is
now. Nothing is written, and raw lines are shown as they came: not masked.

\b
Exit codes: 0 shown; 1 nothing is stored, or the transform fails; 2 wrong use.
"""

DIFF_EXAMPLES = """\b
Examples:
  onpoint datasets diff customers                      file, versions and table
  onpoint datasets diff customers --run monday --run friday
  onpoint datasets diff customers --json | jq '.columns[] | select(.differs != [])'

\b
A version of the columns is made where records bring fields that the file
does not name, and its `schema` lets them become columns. Nothing is changed.

\b
Exit codes: 0 shown; 1 it cannot be read; 2 wrong use.
"""

TRY_EXAMPLES = """\b
Examples:
  onpoint datasets try ./orders.yaml
  onpoint datasets try orders --limit 5 --param region=eu
  onpoint datasets try ./orders.yaml --json | jq .requests

\b
The source is asked, at most 20 times. Nothing is stored; Kafka and PostgreSQL
are not needed. Secrets are read here: set their variables, or mount the files.

\b
Exit codes: 0 records came; 1 the source failed, or rows were rejected; 2 wrong use.
"""

INIT_EXAMPLES = """\b
Examples:
  onpoint datasets init https://api.example.org/orders > orders.yaml
  onpoint datasets try ./orders.yaml

\b
The URL is asked once. Credentials, limits and how pages follow each other are
yours to complete: an answer does not tell them for certain.

\b
Exit codes: 0 printed; 1 the source does not answer with JSON; 2 wrong use.
"""

STATE_EXAMPLES = """\b
Examples:
  onpoint datasets state orders
  onpoint datasets state orders --set 2026-01-01
  onpoint datasets state orders --reset                everything again

\b
A run that succeeds leaves a mark, and the next one begins there. What is set
or reset is one more mark, with the name of who did it.

\b
Exit codes: 0 shown; 1 it cannot be read; 2 wrong use.
"""

SCHEMA_EXAMPLES = """\b
Examples:
  onpoint datasets schema > dataset.schema.json

\b
An editor that knows YAML schemas completes and checks dataset files with it:
# yaml-language-server: $schema=dataset.schema.json
"""

Names = Annotated[list[str] | None, typer.Argument(metavar="[DATASET]...", help="These; none: all of them.")]
Name = Annotated[str, typer.Argument(metavar="DATASET", help="Its name.", show_default=False)]


def register(app: typer.Typer) -> None:
    group = typer.Typer(rich_markup_mode=None)
    group.callback(invoke_without_command=True, epilog=EXAMPLES)(datasets)
    group.command(epilog=CHECK_EXAMPLES)(check)
    group.command(epilog=PREVIEW_EXAMPLES)(preview)
    group.command(epilog=DIFF_EXAMPLES)(diff)
    group.command()(describe)
    group.command(epilog=INIT_EXAMPLES)(init)
    group.command("try", epilog=TRY_EXAMPLES)(try_)
    group.command(epilog=STATE_EXAMPLES)(state)
    group.command(epilog=SCHEMA_EXAMPLES)(schema)
    group.command(epilog=PROFILE_EXAMPLES)(profile)
    app.add_typer(group, name="datasets")


def check(names: Names = None) -> None:
    """Check the dataset files: their fields, and their transforms on no rows."""
    from console.cli import datasets_check

    good, faults = datasets_check.check(names or [])
    for fault in faults:
        print(printable(fault))
    if faults:
        raise typer.Exit(FAILED)
    print(f"{quantity(len(good), 'dataset file')} can be used")


def init(
    url: Annotated[str, typer.Argument(metavar="URL", help="What is to be crawled.", show_default=False)],
) -> None:
    """Print a first dataset file for an URL: its records, their columns, and how pages seem to follow."""
    from console.cli import datasets_init

    for line in datasets_init.propose(url).splitlines():
        print(printable(line))


def try_(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="A dataset file, or the name of a dataset.", show_default=False),
    ],
    *,
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="N", min=1, max=10_000, help="Records at most.")
    ] = 20,
    param: Annotated[
        list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="A parameter; repeatable.")
    ] = None,
    as_json: ObjectAsJson = False,
) -> None:
    """Ask the source of a dataset file, and show its requests, its records and the rows that they become."""
    from console.cli import datasets_try

    document = datasets_try.try_file(file, limit, param or [])
    if as_json:
        print_json(document)
    else:
        for line in datasets_try.lines_of(document):
            print(printable(line))
    if document["failures"] or document["rejected"]:
        raise typer.Exit(FAILED)


def state(
    dataset: Name,
    *,
    value: Annotated[
        str | None,
        typer.Option("--set", metavar="VALUE", help="The next run begins there: a day, a time, a number."),
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="The next run begins anew.")] = False,
    as_json: ObjectAsJson = False,
) -> None:
    """Show how far the complete runs of an incremental dataset reached; set or reset it."""
    from console.cli import datasets_state

    document = datasets_state.state(dataset, value, reset=reset)
    if as_json:
        print_json(document)
    else:
        for line in datasets_state.lines_of(document):
            print(printable(line))


def schema() -> None:
    """Print the JSON Schema of dataset files, for editors."""
    from shared.datasets.model import Dataset

    document = Dataset.model_json_schema(by_alias=True)
    places = {"type": "array", "items": {"type": "string"}}
    document["$defs"]["Column"]["properties"]["from"]["anyOf"].append(places)
    print_json(document)


def preview(
    dataset: Name,
    *,
    run: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="Lines of this run; absent: of the latest.")
    ] = None,
    rows: Annotated[
        int, typer.Option("--rows", "-n", metavar="N", min=1, max=10_000, help="Lines at most.")
    ] = 20,
    as_json: ObjectAsJson = False,
) -> None:
    """Show stored raw lines, typed, transformed and refused by a dataset's file as it is now."""
    from console.cli import preview as previewing

    document = previewing.preview(dataset, run, rows)
    if as_json:
        print_json(document)
    else:
        for line in previewing.lines_of(document):
            print(line)


def diff(
    dataset: Name,
    *,
    run: Annotated[
        list[str] | None,
        typer.Option("--run", metavar="RUN", help="Two of them: what the second has, and the first has not."),
    ] = None,
    as_json: ObjectAsJson = False,
) -> None:
    """Show how the columns of a dataset differ: of its file, its versions, its table, or of two runs."""
    from console.cli import datasets_diff

    document = datasets_diff.diff(dataset, run or [])
    if as_json:
        print_json(document)
    else:
        for line in datasets_diff.lines_of(document):
            print(printable(line))


def describe(dataset: Name, *, as_json: ObjectAsJson = False) -> None:
    """Show each column of a dataset: its type, where it comes from, what masks it; then the steps."""
    from console.cli import datasets_check

    document = datasets_check.describe(dataset)
    if as_json:
        print_json(document)
    else:
        for line in datasets_check.description(document):
            print(printable(line))


def datasets(context: typer.Context, *, as_json: ArrayAsJson = False) -> None:
    """List the datasets: the built-in ones, and those of the files in ONPOINT_DATASETS_DIR.

    Files that cannot be used come last, with the line and the reason.
    """
    if context.invoked_subcommand is not None:
        return
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
    """As in its file, with the defaults and the environment's replacements filled in; columns as they are written."""
    code = {"transform": {"__all__": {"code"}}}
    whole = dataset.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=code)
    columns = [
        column.model_dump(mode="json", by_alias=True, exclude_defaults=True) for column in dataset.columns
    ]
    return whole | {"columns": columns}


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
