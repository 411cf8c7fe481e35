"""What is told of a transform when its dataset file is read: the line, the field and the reason."""

import os
import time
from pathlib import Path

import pytest

from shared.datasets.catalog import DatasetFile, RefusedFile, read_file
from shared.datasets.folder import DatasetFolder
from shared.datasets.frozen import dump
from shared.datasets.model import Dataset

FILE = """\
name: people
source: {name: s, kind: api, base_url: "https://x.example", path: /p, pagination: {kind: none}}
table: people
key: [id]
columns:
  - {name: id, type: int64}
  - {name: mail, type: string}
  - {name: domain, type: string, computed: true}
inputs:
  - {name: tags, from: more.tags, type: string}
transform:
"""
GOOD = "  - sql: SELECT *, split_part(mail, '@', 2) AS domain FROM batch\n"


def read(folder: Path, steps: str, head: str = FILE) -> DatasetFile | RefusedFile:
    path = folder / "people.yaml"
    path.write_text(head + steps, encoding="utf-8")
    return read_file(path, {})


def reason(folder: Path, steps: str, head: str = FILE) -> str:
    refused = read(folder, steps, head)
    assert isinstance(refused, RefusedFile)
    return f"{refused.line}: {refused.reason}"


def test_a_file_with_every_kind_of_step_is_good_and_stored_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "cleaning").mkdir()
    (tmp_path / "cleaning" / "people.py").write_text("def tidy(rows):\n    return rows\n", encoding="utf-8")
    steps = (
        "  - sql: SELECT *, string_split(tags, ',') AS tag, split_part(mail, '@', 2) AS domain FROM batch\n"
        "  - explode: tag\n  - mask: {mail: hash, domain: truncate(3), tag: null}\n"
        "  - {python: 'cleaning.people:tidy', frame: polars}\n"
    )
    file = read(tmp_path, steps)
    assert isinstance(file, DatasetFile)
    code = file.dataset.transform[3].code
    assert code is not None
    assert code.text == "def tidy(rows):\n    return rows\n"
    assert file.code_files == (tmp_path / "cleaning" / "people.py",)
    assert [column.name for column in file.dataset.read_columns] == ["id", "mail", "tags"]
    assert Dataset.model_validate_json(dump(file.dataset)) == file.dataset
    assert hash(file.dataset) == hash(Dataset.model_validate_json(dump(file.dataset)))


def test_a_function_of_an_installed_package_is_known_by_its_hash(tmp_path: Path) -> None:
    file = read(tmp_path, GOOD + "  - {python: 'shared.postgres.identifiers:quote', frame: arrow}\n")
    assert isinstance(file, DatasetFile)
    code = file.dataset.transform[1].code
    assert code is not None
    assert (code.text, len(code.sha256)) == (None, 64)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("  - sql: SELEC 1\n", '12: transform 1.sql: it is no SQL: syntax error at or near "SELEC"'),
        ("  - sql: SELECT 1; SELECT 2\n", "12: transform 1.sql: one statement is expected, not 2"),
        ("  - sql: DROP TABLE batch\n", "12: transform 1.sql: only SELECT is taken"),
        ("  - sql: COPY batch TO '/tmp/x'\n", "12: transform 1.sql: only SELECT is taken"),
        ("  - sql: ATTACH '/tmp/x.db'\n", "12: transform 1.sql: only SELECT is taken"),
        ("  - sql: INSTALL httpfs\n", "12: transform 1.sql: only SELECT is taken"),
        ("  - sql: SET threads = 8\n", "12: transform 1.sql: only SELECT is taken"),
        ("  - sql: PRAGMA version\n", "12: transform 1.sql: "),
        ("  - sql: SELECT * FROM read_csv('/etc/passwd')\n", "12: transform 1.sql: read_csv() is not there"),
        ("  - sql: SELECT * FROM '/etc/passwd'\n", "12: transform 1.sql: there is no table /etc/passwd"),
        ("  - sql: SELECT * FROM 'https://x.example/a.csv'\n", "12: transform 1.sql: there is no table https://x"),
        ("  - sql: WITH x AS (DELETE FROM batch RETURNING *) SELECT * FROM x\n", "12: transform 1.sql: only SELECT"),
        ("  - sql: SELECT * FROM duckdb_settings()\n", "12: transform 1.sql: duckdb_settings() is not there"),
        ("  - sql: SELECT *, random() AS domain FROM batch\n", "12: transform 1.sql: random() is not the same twice"),
        ("  - sql: SELECT *, now() AS domain FROM batch\n", "12: transform 1.sql: now() is not the same twice"),
        ("  - sql: SELECT *, CURRENT_DATE FROM batch\n", "12: transform 1.sql: current_date is not the same twice"),
        ("  - sql: SELECT * FROM batch USING SAMPLE 10%\n", "12: transform 1.sql: a sample is not the same twice"),
        ("  - sql: SELECT name FROM batch\n", '12: transform 1.sql: Binder Error: Referenced column "name"'),
        ("  - sql: SELECT id, mail FROM batch\n", "12: transform 1.sql: its rows have no _source_position"),
        ("  - sql: SELECT * FROM batch\n", "11: transform: its result has no column domain"),
        (GOOD + "  - explode: mail\n", "13: transform 2.explode: mail is VARCHAR, a list is expected"),
        (GOOD + "  - explode: tag\n", "13: transform 2.explode: there is no column tag"),
        (GOOD + "  - mask: {name: hash}\n", "13: transform 2.mask.name: there is no column name"),
        (GOOD + "  - mask: {mail: hash, id: null}\n",
         "13: transform 2.mask.id: id is in the key, and a row without its key is rejected"),
        (GOOD + "  - mask: {mail: encrypt}\n", "13: transform 2.mask.mail: mail: encrypt is none of hash"),
        (GOOD + "  - {python: 'gone.people:tidy', frame: polars}\n",
         "13: transform 2.python: there is no module gone.people"),
        (GOOD + "  - {python: tidy, frame: polars}\n", "13: transform 2.python: tidy is no function"),
        (GOOD + "  - {python: 'a:b', frame: numpy}\n", "13: transform 2.frame: numpy is none of polars, arrow, pandas"),
        (GOOD + "  - {python: 'a:b', frame: arrow, code: {sha256: x}}\n", "13: transform 2.code: the pipeline writes it"),
        (GOOD + "  - {sql: SELECT 1, explode: tags}\n", "13: transform 2: a step has one of sql, python, mask, explode"),
    ],
)  # fmt: skip
def test_a_step_that_cannot_work_is_told_with_its_line(tmp_path: Path, steps: str, expected: str) -> None:
    assert reason(tmp_path, steps).startswith(expected)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def tidi(rows):\n    return rows\n", "has no function tidy: there are tidi"),
        ("def tidy(rows:\n", "steps.py:1 is no Python"),
    ],
)
def test_a_function_that_is_not_there_is_told(tmp_path: Path, code: str, said: str) -> None:
    (tmp_path / "steps.py").write_text(code, encoding="utf-8")
    assert said in reason(tmp_path, GOOD + "  - {python: 'steps:tidy', frame: arrow}\n")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("transform:\n", ""), "8: columns 3.computed: domain is computed, and there is no `transform`"),
        (("inputs:\n  - {name: tags", "inputs:\n  - {name: mail"), "9: inputs: mail is read twice"),
        (("computed: true}", "computed: true, fill: x}"), "8: columns 3.computed: domain is computed: it is not read"),
        (("from: more.tags", "from: mail.tags"), "10: inputs 1: columns from mail and mail.tags cross"),
    ],
)  # fmt: skip
def test_columns_that_contradict_the_transform_are_told(
    tmp_path: Path, change: tuple[str, str], expected: str
) -> None:
    steps = "" if change[0] == "transform:\n" else GOOD
    assert reason(tmp_path, steps, FILE.replace(*change)).startswith(expected)


def test_code_that_changes_is_read_anew_and_code_that_is_mended_is_taken(tmp_path: Path) -> None:
    code = tmp_path / "steps.py"
    read(tmp_path, GOOD + "  - {python: 'steps:tidy', frame: arrow}\n")
    folder = DatasetFolder(tmp_path, {})
    assert "people" not in folder.read()
    for number in (1, 2):
        code.write_text(f"def tidy(rows):\n    return rows.slice({number})\n", encoding="utf-8")
        settled = time.time() - 60 + number
        for path in (code, tmp_path / "people.yaml"):
            os.utime(path, (settled, settled))
        found = folder.read()["people"].transform[1].code
        assert found is not None
        assert found.text == code.read_text(encoding="utf-8")
        assert folder.read() is folder.read()


def test_a_key_may_be_masked_where_a_later_step_gives_it_back(tmp_path: Path) -> None:
    steps = GOOD + "  - mask: {id: null}\n  - sql: SELECT * REPLACE (length(mail) AS id) FROM batch\n"
    assert isinstance(read(tmp_path, steps), DatasetFile)
