"""A golden file that differs is reported in one sentence, and is rewritten only where `GOLDEN=new` asks for it."""

import json
from pathlib import Path

import pytest

from tests.support import golden

AGREED = {"stays": 1, "goes": 2, "changes": ["a", "b"]}
NOW = {"stays": 1, "comes": 2, "changes": ["a", "c"]}


@pytest.fixture(autouse=True)
def no_new_files_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(golden.VARIABLE, raising=False)


def failure_message(folder: Path) -> str:
    (folder / "things.json").write_text(json.dumps(AGREED), encoding="utf-8")
    with pytest.raises(pytest.fail.Exception) as caught:
        golden.compare("things", NOW, folder=folder)
    return str(caught.value)


def test_what_is_equal_passes(tmp_path: Path) -> None:
    (tmp_path / "things.json").write_text(json.dumps(AGREED), encoding="utf-8")
    golden.compare("things", AGREED, folder=tmp_path)


def test_a_difference_names_what_is_missing_new_and_different_and_the_way_out(tmp_path: Path) -> None:
    assert failure_message(tmp_path).splitlines()[0] == (
        "golden things.json and the code differ: missing: goes; new: comes; different: changes; if that is meant, "
        "`GOLDEN=new python -m pytest tests/contract/test_golden.py` makes the golden anew."
    )


def test_a_difference_shows_both_values(tmp_path: Path) -> None:
    assert {'  - "b"', '  + "c"'} <= set(failure_message(tmp_path).splitlines())


def test_a_difference_at_the_end_of_a_long_text_is_shown(tmp_path: Path) -> None:
    text = "a word " * 100
    (tmp_path / "things.json").write_text(json.dumps({"thing": [f"{text}ends"]}), encoding="utf-8")
    with pytest.raises(pytest.fail.Exception) as caught:
        golden.compare("things", {"thing": [f"{text}goes on"]}, folder=tmp_path)
    assert "ends" in str(caught.value)
    assert "goes on" in str(caught.value)


@pytest.mark.parametrize(
    ("agreed", "now"), [(True, 1), (1, 1.0), ("1", 1), (None, ""), ("a", ["a"]), (["a", "b"], ["b", "a"])]
)
def test_values_that_only_look_alike_are_different(tmp_path: Path, agreed: object, now: object) -> None:
    (tmp_path / "things.json").write_text(json.dumps({"thing": agreed}), encoding="utf-8")
    with pytest.raises(pytest.fail.Exception, match="different: thing"):
        golden.compare("things", {"thing": now}, folder=tmp_path)


def test_a_file_that_is_not_there_is_empty(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="new: changes, comes, stays"):
        golden.compare("things", NOW, folder=tmp_path)


def test_new_golden_files_are_written_on_request_and_the_test_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(golden.VARIABLE, "new")
    with pytest.raises(pytest.skip.Exception, match=r"golden things\.json was made anew"):
        golden.compare("things", NOW, folder=tmp_path)
    assert json.loads((tmp_path / "things.json").read_text(encoding="utf-8")) == NOW


def test_another_value_of_the_variable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(golden.VARIABLE, "1")
    with pytest.raises(pytest.fail.Exception, match="only GOLDEN=new is"):
        golden.compare("things", NOW, folder=tmp_path)


def test_texts_are_files_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(golden.VARIABLE, "new")
    for texts in ({"one": "a\n", "two": "b\n"}, {"two": "b\n", "three": "c\n"}):
        with pytest.raises(pytest.skip.Exception):
            golden.compare_texts("help", texts, folder=tmp_path)
    assert {path.name for path in (tmp_path / "help").iterdir()} == {"two.txt", "three.txt"}
    monkeypatch.delenv(golden.VARIABLE)
    with pytest.raises(pytest.fail.Exception, match="missing: three; different: two;") as caught:
        golden.compare_texts("help", {"two": "B\n"}, folder=tmp_path)
    assert "  -b\n  +B" in str(caught.value)
