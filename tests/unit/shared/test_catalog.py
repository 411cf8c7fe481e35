"""Dataset files: what is accepted, and how a wrong one is refused."""

import os
import re
from pathlib import Path

import pytest

from shared.datasets.built_in import BUILT_IN
from shared.datasets.catalog import load_catalog
from shared.datasets.pagination import PagePagination
from shared.errors import ConfigurationError

GOOD = """\
name: things
source:
  name: shop
  kind: api
  base_url: https://shop.example
  path: /things
  pagination: {kind: page, page_param: p, size_param: n, size: 50}
table: things
key: [id]
columns:
  - {name: id, type: int64}
  - {name: label, from: a.b, type: string}
checks:
  - {kind: unique, columns: [id]}
"""


BUILT_IN_DATASETS = 7


def write(folder: Path, text: str, name: str = "things.yaml") -> Path:
    (folder / name).write_text(text)
    return folder


def refusal(folder: Path, text: str) -> str:
    """Why the file is refused; the others go on to work."""
    catalog = load_catalog(write(folder, text), {})
    [refused] = catalog.refused
    assert len(catalog) == BUILT_IN_DATASETS
    return str(refused)


def test_the_seven_built_in_datasets_are_known() -> None:
    assert set(load_catalog(environment={})) == {
        "albums",
        "comments",
        "photos",
        "posts",
        "stories",
        "todos",
        "users",
    }


def test_a_file_in_the_folder_is_one_more_dataset(tmp_path: Path) -> None:
    things = load_catalog(write(tmp_path, GOOD), {})["things"]
    assert things.columns[1].path == ("a", "b")


def test_a_format_that_the_converter_does_not_write_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, GOOD + "formats: [parquet, docx]\n")
    assert "formats 2: docx is not supported: supported are parquet, csv, json" in message


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="ONPOINT_DATASETS_DIR"):
        load_catalog(tmp_path / "none", {})


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("type: string", "type: text", 12, "string"),
        (
            "type: string",
            "type: string, inexact: round",
            12,
            "only for columns of type int8, int16, int32, int64, float32, float64 and decimal, not for string",
        ),
        ("id, type: int64", "id, type: int64, inexact: up", 11, "round"),
        ("key: [id]", "key: [nr]", 9, "nr"),
        ("key: [id]", "keys: [id]", 9, "keys"),
        ("name: things\n", "name: Things\n", 1, "name"),
        ("base_url: https://shop.example", "base_url: ftp://shop", 5, "http"),
        ("columns: [id]", "columns: [x]", 14, "x"),
        (
            "{name: label, from: a.b, type: string}",
            "{name: etl_processed_at, type: string}",
            12,
            "pipeline itself",
        ),
        ("{name: label, from: a.b, type: string}", "{name: id, type: string}", 12, "twice"),
        ("{name: label, from: a.b, type: string}", "{name: label, from: id.x, type: string}", 12, "cross"),
        ("{name: label, from: a.b, type: string}", "{name: label, from: a..b, type: string}", 12, "path"),
        ("{name: label, from: a.b, type: string}", "{name: label, type: int64, fill: x}", 12, "fill"),
        ("size: 50", "size: 0", 7, "size"),
    ],
)
def test_a_wrong_file_is_refused_with_file_line_and_reason(
    tmp_path: Path, old: str, new: str, line: int, words: str
) -> None:
    assert old in GOOD
    message = refusal(tmp_path, GOOD.replace(old, new))
    assert message.startswith(f"{tmp_path}/things.yaml:{line}: ")
    assert words in message


def test_yaml_that_cannot_be_parsed_is_refused_with_its_line(tmp_path: Path) -> None:
    assert "things.yaml:2" in refusal(tmp_path, "name: a\n  b: [\n")


def test_a_python_object_in_yaml_is_not_made(tmp_path: Path) -> None:
    assert "things.yaml" in refusal(tmp_path, "name: !!python/object/apply:os.system [id]\n")


def test_of_two_files_with_one_name_the_first_stays(tmp_path: Path) -> None:
    assert "things.yaml:1: dataset posts is defined twice, first in" in refusal(
        tmp_path, GOOD.replace("name: things", "name: posts", 1)
    )


def test_of_two_files_with_one_table_the_first_stays(tmp_path: Path) -> None:
    assert "things.yaml:8: table onpoint_posts already belongs to dataset posts" in refusal(
        tmp_path, GOOD.replace("table: things", "table: onpoint_posts")
    )


def test_the_environment_replaces_a_source_s_settings(tmp_path: Path) -> None:
    environment = {
        "ONPOINT_SOURCE_SHOP_URL": "http://127.0.0.1:9/",
        "ONPOINT_SOURCE_SHOP_REQUESTS_PER_SECOND": "0",
        "ONPOINT_SOURCE_SHOP_CONCURRENCY": "7",
        "ONPOINT_SOURCE_SHOP_PAGE_SIZE": "1000",
    }
    source = load_catalog(write(tmp_path, GOOD), environment)["things"].source
    assert source.base_url == "http://127.0.0.1:9"
    assert source.requests_per_second == 0
    assert source.concurrency == 7
    assert source.pagination.kind == "page"
    assert source.pagination.size == 1000


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("CONCURRENCY", "many"),
        ("CONCURRENCY", "0"),
        ("REQUESTS_PER_SECOND", "-1"),
        ("PAGE_SIZE", "x"),
        ("URL", "ftp://x"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, setting: str, value: str) -> None:
    variable = f"ONPOINT_SOURCE_SHOP_{setting}"
    [refused] = load_catalog(write(tmp_path, GOOD), {variable: value}).refused
    assert variable in str(refused)
    assert value in str(refused)


def test_no_built_in_file_is_without_a_check() -> None:
    catalog = load_catalog(environment={})
    assert all(dataset.checks for dataset in catalog.values())
    assert len(list(BUILT_IN.glob("*.yaml"))) == len(catalog)


def test_what_the_end_of_pages_is_may_be_configured(tmp_path: Path) -> None:
    ends = "repeats: end, no_array: end, end_statuses: [404]"
    written = f"pagination: {{kind: page, page_param: p, size_param: n, first: 0, {ends}}}"
    text = re.sub("pagination: .*", written, GOOD) + "max_missing_ratio: 0.02\n"
    dataset = load_catalog(write(tmp_path, text), {})["things"]
    pages = dataset.source.pagination
    assert isinstance(pages, PagePagination)
    assert pages.first == 0
    assert pages.repeats == "end"
    assert pages.no_array == "end"
    assert pages.end_statuses == (404,)
    assert dataset.max_missing_ratio == 0.02


def test_unless_configured_the_source_shows_where_its_pages_begin_and_end(tmp_path: Path) -> None:
    dataset = load_catalog(write(tmp_path, GOOD), {})["things"]
    pages = dataset.source.pagination
    assert isinstance(pages, PagePagination)
    assert pages.first is None
    assert pages.repeats == "fault"
    assert pages.no_array == "fault"
    assert pages.end_statuses == ()
    assert dataset.max_missing_ratio == 0


@pytest.mark.parametrize(
    "wrong", ["first: 2", "repeats: ignore", "no_array: skip", "end_statuses: [500]", "end_statuses: [200]"]
)
def test_what_cannot_end_pages_is_refused(tmp_path: Path, wrong: str) -> None:
    assert wrong.split(":", maxsplit=1)[0] in refusal(tmp_path, GOOD.replace("size: 50", wrong))


def test_each_bad_file_is_told_and_the_good_ones_work(tmp_path: Path) -> None:
    write(tmp_path, GOOD, "a.yaml")
    write(tmp_path, "", "b.yaml")
    write(tmp_path, "name: c\n\tsource: x\n", "c.yaml")
    write(tmp_path, GOOD.replace("things", "more"), "d.yml")
    (tmp_path / "e.yaml").write_bytes(b"name: e\nkey: [\xff]\n")
    (tmp_path / "f.yaml").mkdir()
    (tmp_path / "g.yaml").symlink_to("nowhere")
    os.mkfifo(tmp_path / "h.yaml")
    catalog = load_catalog(tmp_path, {})
    assert {"things", "more"} <= set(catalog)
    assert [(refused.path.name, refused.line, refused.name) for refused in catalog.refused] == [
        ("b.yaml", 1, "b"),
        ("c.yaml", 2, "c"),
        ("e.yaml", 2, "e"),
        ("f.yaml", 1, "f"),
        ("g.yaml", 1, "g"),
        ("h.yaml", 1, "h"),
    ]


def test_a_temporary_file_of_an_editor_is_not_a_dataset(tmp_path: Path) -> None:
    write(tmp_path, "half", ".things.yaml")
    (tmp_path / ".#things.yaml").symlink_to("user@host")
    write(tmp_path, "half", "things.yaml~")
    assert load_catalog(tmp_path, {}).refused == ()


def test_a_dataset_whose_file_is_bad_is_reported_with_the_reason(tmp_path: Path) -> None:
    catalog = load_catalog(write(tmp_path, GOOD.replace("key: [id]", "key: [nr]")), {})
    assert catalog.why_refused("things") == str(catalog.refused[0])
    assert catalog.why_refused("posts") is None
    assert catalog.why_refused("unheard_of") is None


def test_a_file_names_where_its_dataset_comes_from(tmp_path: Path) -> None:
    assert load_catalog(write(tmp_path, GOOD), {}).files["things"] == tmp_path / "things.yaml"
