"""docs/datasets.md documents every field and every kind of a dataset file, and its examples are accepted."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from shared.datasets.catalog import DatasetFile, read_file
from shared.datasets.column import SYSTEM_COLUMNS, Column
from shared.datasets.lineage import RESERVED_COLUMNS
from shared.datasets.model import CHECK_KINDS, RESERVED_DATASETS, Dataset
from shared.datasets.pagination import PAGINATION_KINDS, PagePagination
from shared.datasets.paths import parse_path
from shared.datasets.sources.api import RequestSource
from shared.datasets.transform import Step
from shared.datasets.types import KINDS
from shared.events.names import SUPPORTED_FORMATS
from tests.support.records import ROOT

TEXT = "".join((ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("datasets.md", "sources.md"))
EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
[CODE] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
OF_PIPELINE = {(Step, "code"), *((Column, name) for name in ("from_first", "const", "join"))}
"""Fields that no one writes into a file, or only beside a `request`."""
PATHS = re.findall(r"^\| `(\{\".*?\})` \| (.*) \|$", TEXT, re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_is_a_good_file(tmp_path: Path, example: str) -> None:
    (tmp_path / "cleaning").mkdir()
    (tmp_path / "cleaning" / "reviews.py").write_text(CODE, encoding="utf-8")
    path = tmp_path / "example.yaml"
    path.write_text(example, encoding="utf-8")
    assert isinstance(read_file(path, {}), DatasetFile)


def models(annotation: Any, known: set[Any] | None = None) -> Iterator[type[BaseModel]]:
    known = set() if known is None else known
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation in known:
            return
        known.add(annotation)
        yield annotation
        for field in annotation.model_fields.values():
            yield from models(field.annotation, known)
    for part in get_args(annotation):
        yield from models(part, known)


def test_each_field_is_explained() -> None:
    for model in models(Dataset):
        for name, field in model.model_fields.items():
            if (model, name) in OF_PIPELINE:
                continue
            assert re.search(rf"`{field.alias or name}`|\b{field.alias or name}: ", TEXT), (
                f"docs/datasets.md does not explain {model.__name__}.{name}"
            )


def test_each_type_and_each_name_that_is_taken_is_named() -> None:
    for name in (
        *(kind.form for kind in KINDS.values()),
        *RESERVED_COLUMNS,
        *RESERVED_DATASETS,
        *SYSTEM_COLUMNS,
    ):
        assert f"`{name}`" in TEXT


@pytest.mark.parametrize("kind", [*PAGINATION_KINDS, *CHECK_KINDS])
def test_each_kind_of_pagination_and_of_check_is_explained(kind: str) -> None:
    assert f"kind: {kind}" in TEXT, f"docs/datasets.md does not name kind: {kind}"


@pytest.mark.parametrize("kind", PAGINATION_KINDS)
def test_each_kind_of_pagination_is_in_the_table_of_the_crawler(kind: str) -> None:
    table = (ROOT / "services" / "crawler" / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| `{kind}`", table, re.MULTILINE), (
        f"services/crawler/README.md has no row for {kind}"
    )


@pytest.mark.parametrize("name", SUPPORTED_FORMATS)
def test_each_format_is_named_here_and_in_the_table_of_the_converter(name: str) -> None:
    table = (ROOT / "services" / "converter" / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| `formats` .*`{name}`", TEXT, re.MULTILINE), (
        f"docs/datasets.md does not name {name} among the formats"
    )
    assert f"\n| `{name}` | `{name}` | " in table, f"services/converter/README.md has no row for {name}"


def test_the_full_example_uses_every_field_of_a_numbered_source() -> None:
    full = EXAMPLES[1]
    other_kinds = {*PAGINATION_KINDS.values(), *models(RequestSource)} - {PagePagination}
    for model in {*models(Dataset)} - other_kinds:
        for name, field in model.model_fields.items():
            assert f"{field.alias or name}:" in full or (model, name) in OF_PIPELINE, name


@pytest.mark.parametrize(("record", "written"), PATHS)
def test_each_key_is_written_as_documented(tmp_path: Path, record: str, written: str) -> None:
    keys = tuple(re.sub(r'\\(["\\])', r"\1", key) for key in re.findall(r'"((?:[^"\\]|\\.)*)":', record))
    for example in re.findall(r"`from: (.*?)`", written):
        path = tmp_path / "example.yaml"
        text = EXAMPLES[0].replace("{name: placed_at, type", f"{{name: placed_at, from: {example}, type")
        path.write_text(text, encoding="utf-8")
        found = read_file(path, {})
        assert isinstance(found, DatasetFile)
        assert found.dataset.columns[1].path == keys
        assert parse_path(found.dataset.columns[1].source_path or "") == keys


def test_the_table_of_keys_is_read() -> None:
    assert len(PATHS) == 9
