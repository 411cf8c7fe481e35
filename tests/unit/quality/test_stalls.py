"""When a group counts as one that stands still in a partition."""

from services.quality.domain.stalls import Position, Stalls


def longest(*looks: tuple[float, int, int]) -> float:
    """After looks at a partition: the time, the committed offset, the end."""
    stalls, found = Stalls[str](), {"p": 0.0}
    for now, committed, end in looks:
        found = stalls.seconds({"p": Position(committed, end)}, now)
    return found["p"]


def test_a_group_that_keeps_up_does_not_stand_still() -> None:
    assert longest((0, 5, 5), (10, 9, 9), (20, 9, 9)) == 0


def test_records_come_and_none_is_committed() -> None:
    assert longest((0, 5, 7), (10, 5, 8), (20, 5, 9), (30, 5, 9)) == 20


def test_the_first_record_after_a_rest_counts_from_when_it_is_seen() -> None:
    assert longest((0, 5, 5), (10, 5, 6), (20, 5, 6), (30, 5, 6)) == 20


def test_a_commit_begins_anew() -> None:
    assert longest((0, 5, 7), (10, 5, 8), (20, 6, 9), (30, 6, 10)) == 0


def test_offsets_that_nobody_commits_are_no_records_that_wait() -> None:
    """A transaction ends with a marker, which takes an offset."""
    assert longest((0, 4, 6), (10, 5, 6), (20, 5, 6), (900, 5, 6)) == 0


def test_a_partition_that_another_look_does_not_name_is_forgotten() -> None:
    stalls = Stalls[str]()
    stalls.seconds({"p": Position(5, 7)}, 0)
    stalls.seconds({"p": Position(5, 8)}, 10)
    assert stalls.seconds({}, 20) == {}
    assert stalls.seconds({"p": Position(5, 9)}, 30) == {"p": 0}
