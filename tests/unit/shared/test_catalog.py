"""Dataset files: what is accepted, and how a wrong one is refused."""

from pathlib import Path

import pytest

from shared.datasets.catalog import BUILT_IN, load_catalog
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


def write(folder: Path, text: str, name: str = "things.yaml") -> Path:
    (folder / name).write_text(text)
    return folder


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_catalog(write(folder, text), {})
    return str(caught.value)


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
    said = refusal(tmp_path, GOOD + "formats: [parquet, xlsx]\n")
    assert "formats: xlsx: not supported in this version; supported are parquet, csv" in said


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
            "only for columns of type int64 and float64, not for string",
        ),
        ("id, type: int64", "id, type: int64, inexact: up", 11, "round"),
        ("key: [id]", "key: [nr]", 1, "nr"),
        ("key: [id]", "keys: [id]", 9, "keys"),
        ("name: things\n", "name: Things\n", 1, "name"),
        ("base_url: https://shop.example", "base_url: ftp://shop", 5, "http"),
        ("columns: [id]", "columns: [x]", 1, "x"),
        (
            "{name: label, from: a.b, type: string}",
            "{name: etl_processed_at, type: string}",
            12,
            "pipeline itself",
        ),
        ("{name: label, from: a.b, type: string}", "{name: id, type: string}", 1, "twice"),
        ("{name: label, from: a.b, type: string}", "{name: label, from: id.x, type: string}", 1, "cross"),
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


def test_a_name_used_twice_is_refused(tmp_path: Path) -> None:
    assert "twice" in refusal(tmp_path, GOOD.replace("name: things", "name: posts", 1))


def test_a_table_used_twice_is_refused(tmp_path: Path) -> None:
    assert "onpoint_posts" in refusal(tmp_path, GOOD.replace("table: things", "table: onpoint_posts"))


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


def test_a_wrong_variable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="concurrency"):
        load_catalog(write(tmp_path, GOOD), {"ONPOINT_SOURCE_SHOP_CONCURRENCY": "many"})


def test_no_built_in_file_is_without_a_check() -> None:
    catalog = load_catalog(environment={})
    assert all(dataset.checks for dataset in catalog.values())
    assert len(list(BUILT_IN.glob("*.yaml"))) == len(catalog)
