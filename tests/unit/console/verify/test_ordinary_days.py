"""Days on which the product did right, and the same days with one thing wrong. Nothing but the lake is a source here."""

import pytest

from tests.unit.console.verify.conftest import MakeYard, Yard, dataset_of

FILE = dataset_of({"id": "int64", "name": "string"})
A, B = {"id": 1, "name": "a"}, {"id": 2, "name": "b"}


@pytest.fixture(params=[False, True], ids=["staged", "swept"])
def yard(make_yard: MakeYard, request: pytest.FixtureRequest) -> Yard:
    """One run brought two rows."""
    made = make_yard({"id": "int64", "name": "string"})
    made.run("first", FILE, [A, B], swept=request.param)
    made.load("first", A)
    made.load("first", B, 1)
    return made


def test_a_run_that_stored_nothing_takes_nothing_away(yard: Yard) -> None:
    yard.run("empty", FILE, [], stages=())
    assert yard.problems() == []


def test_a_run_of_an_empty_source_takes_nothing_away(yard: Yard) -> None:
    yard.run("empty", FILE, [])
    assert yard.problems() == []


@pytest.mark.parametrize("last", ["first", "empty"])
def test_a_row_that_vanished_is_named_whatever_ran_since(yard: Yard, last: str) -> None:
    if last == "empty":
        yard.run("empty", FILE, [], stages=())
    yard.rows.pop()
    assert yard.problems() == ["d id=2 (record 1 of first): it is not in PostgreSQL"]


def test_a_batch_that_died_in_the_lake_is_in_the_table(yard: Yard) -> None:
    """A cancelled run, too: it was loaded, and no longer stored."""
    yard.run("half", FILE, [{"id": 2, "name": "newer"}, {"id": 3, "name": "c"}], stages=["loader"])
    yard.rows.pop()
    yard.load("half", {"id": 2, "name": "newer"})
    yard.load("half", {"id": 3, "name": "c"}, 1)
    assert yard.problems() == []


def test_its_staged_rows_tell_what_of_it_is_wrong(yard: Yard) -> None:
    yard.run("half", FILE, [{"id": 3, "name": "c"}], stages=["loader"])
    yard.load("half", {"id": 3, "name": "x"})
    assert yard.problems() == ["d id=3 (record 0 of half): it is not the same in PostgreSQL"]


def test_of_a_batch_that_died_in_the_lake_and_is_swept_nothing_can_be_told(yard: Yard) -> None:
    yard.run("half", FILE, [{"id": 2, "name": "newer"}], stages=["loader"], swept=True)
    yard.rows.pop()
    yard.load("half", {"id": 2, "name": "newer"})
    assert yard.problems() == []
    assert any("half" in note for note in yard.findings.notes)


def test_rows_of_another_run_are_reported_all_the_same(yard: Yard) -> None:
    yard.run("half", FILE, [{"id": 9, "name": "z"}], stages=["loader"], swept=True)
    yard.rows.pop()
    yard.load("first", {"id": 8, "name": "made up"})
    assert sorted(yard.problems()) == [
        "d id=2 (record 1 of first): it is not in PostgreSQL",
        "d id=8 (record 0 of first): PostgreSQL has it, and first did not load it",
    ]


def test_a_batch_that_postgresql_refused_is_in_the_lake_alone(yard: Yard) -> None:
    yard.run("refused", FILE, [{"id": 2, "name": "newer"}], stages=["s3sink"])
    assert yard.problems() == []


def test_a_row_of_a_batch_that_was_not_loaded_is_named(yard: Yard) -> None:
    yard.run("refused", FILE, [{"id": 2, "name": "newer"}], stages=["s3sink"])
    yard.rows.pop()
    yard.load("refused", {"id": 2, "name": "newer"})
    assert yard.problems() == ["d id=2 (record 0 of refused): it is not the same in PostgreSQL"]


def test_of_two_runs_at_once_the_later_requested_wins_whatever_ended_first(yard: Yard) -> None:
    yard.run("second", FILE, [{"id": 2, "name": "newer"}])
    assert yard.problems() == ["d id=2 (record 1 of first): it is not the same in PostgreSQL"]


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
    make_yard: MakeYard, stored: list[dict[str, object]], expected: str, *, swept: bool
) -> None:
    yard = make_yard({"id": "int64", "name": "string"})
    yard.run("first", FILE, [A, B], stored=stored, swept=swept)
    yard.load("first", A)
    yard.load("first", B, 1)
    assert any(part in problem for problem in yard.problems() for part in expected.split("|"))


def test_a_run_of_a_refused_request_cannot_have_rows(yard: Yard) -> None:
    yard.load("first", {"id": 5, "name": "e"})
    yard.rows[-1] |= {"_run_id": "refused", "_batch_id": "none"}
    assert yard.problems() == ["d id=5 (record 0 of refused): PostgreSQL has it, and refused did not load it"]


def test_a_table_that_is_gone_is_named(yard: Yard) -> None:
    yard.has = {}
    assert yard.problems() == ["table onpoint_d: it is not there, 2 rows were loaded"]


def test_a_row_that_postgresql_refused_leaves_the_older_one(yard: Yard) -> None:
    yard.run("newer", FILE, [{"id": 2, "name": "too wide"}, {"id": 3, "name": "c"}])
    yard.refused["newer"] = frozenset({0})
    yard.load("newer", {"id": 3, "name": "c"}, 1)
    assert yard.problems() == []


def test_as_many_rows_may_be_missing_as_were_refused_and_are_swept(yard: Yard) -> None:
    yard.run("newer", FILE, [{"id": 2, "name": "too wide"}, {"id": 3, "name": "c"}])
    yard.refused_somewhere["newer"] = 1
    yard.load("newer", {"id": 3, "name": "c"}, 1)
    assert yard.problems() == []
    assert len(yard.findings.notes) == 1


def test_more_are_missing_than_were_refused(yard: Yard) -> None:
    yard.run("newer", FILE, [{"id": 2, "name": "too wide"}, {"id": 3, "name": "c"}])
    yard.refused_somewhere["newer"] = 1
    assert yard.problems() == ["d id=3 (record 1 of newer): it is not in PostgreSQL"]


def test_a_row_that_was_refused_and_is_there_is_named(yard: Yard) -> None:
    yard.run("newer", FILE, [{"id": 3, "name": "c"}])
    yard.refused["newer"] = frozenset({0})
    yard.load("newer", {"id": 3, "name": "c"})
    assert yard.problems() == ["d id=3 (record 0 of newer): PostgreSQL has it, and newer did not load it"]
