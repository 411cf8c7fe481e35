"""Days on which everything is right, and the same days with one defect. Rows are compared with the lake alone."""

import pytest

from tests.unit.console.verify.conftest import Installation, MakeInstallation, dataset_of

FILE = dataset_of({"id": "int64", "name": "string"})
A, B = {"id": 1, "name": "a"}, {"id": 2, "name": "b"}


@pytest.fixture(params=[False, True], ids=["staged", "swept"])
def installation(make_installation: MakeInstallation, request: pytest.FixtureRequest) -> Installation:
    """One run brought two rows."""
    made = make_installation({"id": "int64", "name": "string"})
    made.run("first", FILE, [A, B], swept=request.param)
    made.load("first", A)
    made.load("first", B, 1)
    return made


def test_a_run_that_stored_nothing_takes_nothing_away(installation: Installation) -> None:
    installation.run("empty", FILE, [], stages=())
    assert installation.problems() == []


def test_a_run_of_an_empty_source_takes_nothing_away(installation: Installation) -> None:
    installation.run("empty", FILE, [])
    assert installation.problems() == []


@pytest.mark.parametrize("last", ["first", "empty"])
def test_a_row_that_vanished_is_named_whatever_ran_since(installation: Installation, last: str) -> None:
    if last == "empty":
        installation.run("empty", FILE, [], stages=())
    installation.rows.pop()
    assert installation.problems() == ["d id=2 (record 1 of first): it is not in PostgreSQL"]


def test_a_batch_that_died_in_the_lake_is_in_the_table(installation: Installation) -> None:
    """A cancelled run, too: it was loaded, and no longer stored."""
    installation.run("half", FILE, [{"id": 2, "name": "newer"}, {"id": 3, "name": "c"}], stages=["loader"])
    installation.rows.pop()
    installation.load("half", {"id": 2, "name": "newer"})
    installation.load("half", {"id": 3, "name": "c"}, 1)
    assert installation.problems() == []


def test_its_staged_rows_tell_what_of_it_is_wrong(installation: Installation) -> None:
    installation.run("half", FILE, [{"id": 3, "name": "c"}], stages=["loader"])
    installation.load("half", {"id": 3, "name": "x"})
    assert installation.problems() == ["d id=3 (record 0 of half): it is not the same in PostgreSQL"]


def test_of_a_batch_that_died_in_the_lake_and_is_swept_nothing_can_be_told(
    installation: Installation,
) -> None:
    installation.run("half", FILE, [{"id": 2, "name": "newer"}], stages=["loader"], swept=True)
    installation.rows.pop()
    installation.load("half", {"id": 2, "name": "newer"})
    assert installation.problems() == []
    assert any("half" in note for note in installation.findings.notes)


def test_rows_of_another_run_are_reported_all_the_same(installation: Installation) -> None:
    installation.run("half", FILE, [{"id": 9, "name": "z"}], stages=["loader"], swept=True)
    installation.rows.pop()
    installation.load("first", {"id": 8, "name": "made up"})
    assert sorted(installation.problems()) == [
        "d id=2 (record 1 of first): it is not in PostgreSQL",
        "d id=8 (record 0 of first): PostgreSQL has it, and first did not load it",
    ]


def test_a_batch_that_postgresql_refused_is_in_the_lake_alone(installation: Installation) -> None:
    installation.run("refused", FILE, [{"id": 2, "name": "newer"}], stages=["s3sink"])
    assert installation.problems() == []


def test_a_row_of_a_batch_that_was_not_loaded_is_named(installation: Installation) -> None:
    installation.run("refused", FILE, [{"id": 2, "name": "newer"}], stages=["s3sink"])
    installation.rows.pop()
    installation.load("refused", {"id": 2, "name": "newer"})
    assert installation.problems() == ["d id=2 (record 0 of refused): it is not the same in PostgreSQL"]


def test_of_two_runs_at_once_the_later_requested_wins_whatever_ended_first(
    installation: Installation,
) -> None:
    installation.run("second", FILE, [{"id": 2, "name": "newer"}])
    assert installation.problems() == ["d id=2 (record 1 of first): it is not the same in PostgreSQL"]


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ([A], "it is not in the lake|2 rows were accepted, 1 are in the lake"),
        ([A, B, B], "did not accept it|2 rows were accepted, 3 are in the lake"),
    ],
    ids=["lost", "doubled"],
)
@pytest.mark.parametrize("swept", [False, True])
def test_rows_that_the_lake_lost_or_doubled_are_named(
    make_installation: MakeInstallation, stored: list[dict[str, object]], expected: str, *, swept: bool
) -> None:
    installation = make_installation({"id": "int64", "name": "string"})
    installation.run("first", FILE, [A, B], stored=stored, swept=swept)
    installation.load("first", A)
    installation.load("first", B, 1)
    assert any(part in problem for problem in installation.problems() for part in expected.split("|"))


def test_a_run_of_a_refused_request_cannot_have_rows(installation: Installation) -> None:
    installation.load("first", {"id": 5, "name": "e"})
    installation.rows[-1] |= {"_run_id": "refused", "_batch_id": "none"}
    assert installation.problems() == [
        "d id=5 (record 0 of refused): PostgreSQL has it, and refused did not load it"
    ]


def test_a_table_that_is_gone_is_named(installation: Installation) -> None:
    installation.has = {}
    assert installation.problems() == ["table onpoint_d: it is not there, 2 rows were loaded"]


def test_a_row_that_postgresql_refused_leaves_the_older_one(installation: Installation) -> None:
    installation.run("newer", FILE, [{"id": 2, "name": "too wide"}, {"id": 3, "name": "c"}])
    installation.refused["newer"] = frozenset({0})
    installation.load("newer", {"id": 3, "name": "c"}, 1)
    assert installation.problems() == []


def test_as_many_rows_may_be_missing_as_were_refused_and_are_swept(installation: Installation) -> None:
    installation.run("newer", FILE, [{"id": 2, "name": "too wide"}, {"id": 3, "name": "c"}])
    installation.refused_somewhere["newer"] = 1
    installation.load("newer", {"id": 3, "name": "c"}, 1)
    assert installation.problems() == []
    assert len(installation.findings.notes) == 1


def test_more_are_missing_than_were_refused(installation: Installation) -> None:
    installation.run("newer", FILE, [{"id": 2, "name": "too wide"}, {"id": 3, "name": "c"}])
    installation.refused_somewhere["newer"] = 1
    assert installation.problems() == ["d id=3 (record 1 of newer): it is not in PostgreSQL"]


def test_a_row_that_was_refused_and_is_there_is_named(installation: Installation) -> None:
    installation.run("newer", FILE, [{"id": 3, "name": "c"}])
    installation.refused["newer"] = frozenset({0})
    installation.load("newer", {"id": 3, "name": "c"})
    assert installation.problems() == [
        "d id=3 (record 0 of newer): PostgreSQL has it, and newer did not load it"
    ]
