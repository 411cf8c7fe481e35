"""`onpoint run` without a name asks before it crawls everything."""

import pytest
import typer

from console.cli import run
from console.cli.errors import CommandError, WrongUseError

DATASETS = ("albums", "comments", "photos", "posts", "stories", "todos", "users")


@pytest.fixture(autouse=True)
def installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONPOINT_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A terminal; returns the questions that were asked, each answered with yes unless it is replaced."""
    asked: list[str] = []

    def confirm(question: str, **_: object) -> bool:
        asked.append(question)
        return True

    for stream in ("stdin", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True)
    monkeypatch.setattr(typer, "confirm", confirm)
    return asked


def test_all_is_all() -> None:
    assert run._all_datasets(DATASETS, sure=True) == DATASETS  # noqa: SLF001 - the command would ask a real Kafka


def test_on_a_terminal_one_is_asked(answers: list[str]) -> None:
    assert run._all_datasets(DATASETS, sure=False) == DATASETS  # noqa: SLF001 - as above
    assert answers == ["crawl all 7 datasets?"]


def test_no_is_no(answers: list[str], monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - a terminal
    monkeypatch.setattr(typer, "confirm", lambda *_, **__: False)
    with pytest.raises(CommandError, match="nothing was asked for"):
        run._all_datasets(DATASETS, sure=False)  # noqa: SLF001 - as above


def test_no_question_is_asked_for_a_run_that_cannot_start(
    answers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ONPOINT_KAFKA_BOOTSTRAP_SERVERS")
    with pytest.raises(WrongUseError, match="onpoint up"):
        run._all_datasets(DATASETS, sure=False)  # noqa: SLF001 - as above
    assert answers == []


def test_a_program_must_name_its_datasets() -> None:
    with pytest.raises(
        WrongUseError, match="Name some, as in `onpoint run albums`, or say --all for all 7 datasets"
    ):
        run._all_datasets(DATASETS, sure=False)  # noqa: SLF001 - as above
