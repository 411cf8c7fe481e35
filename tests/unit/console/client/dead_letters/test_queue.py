from collections.abc import Iterator
from dataclasses import replace

import pytest

from console.client.dead_letters.queue import Filters, WorkQueue
from tests.unit.console.client.dead_letters.examples import action, dead_letter

EVERYTHING = Filters()


@pytest.fixture
def queue() -> Iterator[WorkQueue]:
    found = WorkQueue()
    yield found
    found.close()


def states(queue: WorkQueue) -> dict[str, str]:
    return {str(entry.dead_letter.position): entry.state for entry in queue.oldest(EVERYTHING, 100)}


def test_a_dead_letter_without_an_action_is_open(queue: WorkQueue) -> None:
    queue.add_dead_letters([dead_letter(1)])

    assert states(queue) == {"loader:0:1": "open"}


def test_the_dead_letters_of_one_record_are_one_entry_and_the_newest_counts(queue: WorkQueue) -> None:
    queue.add_dead_letters([dead_letter(4, 1), dead_letter(1, 1), dead_letter(2, 1, partition=5)])

    (entry,) = queue.latest(EVERYTHING, 10)
    assert str(entry.dead_letter.position) == "loader:0:4"
    assert entry.deaths == 3


def test_a_replayed_one_is_no_longer_open_until_it_dies_again(queue: WorkQueue) -> None:
    queue.add_dead_letters([dead_letter(1)])
    queue.add_actions([action(dead_letter(1))])
    assert states(queue) == {"loader:0:1": "replayed"}

    queue.add_dead_letters([dead_letter(2, 1)])
    assert states(queue) == {"loader:0:2": "open"}
    (entry,) = queue.latest(EVERYTHING, 1)
    assert entry.last_action is not None
    assert str(entry.last_action.position) == "loader:0:1"


def test_one_whose_batch_is_done_is_resolved_however_it_came_about(queue: WorkQueue) -> None:
    queue.add_dead_letters([dead_letter(1), dead_letter(2)])
    queue.add_actions([action(dead_letter(1))])
    queue.add_results([("b1", "loader"), ("b2", "converter")])

    assert states(queue) == {"loader:0:1": "resolved", "loader:0:2": "open"}


def test_a_discarded_one_stays_so_and_dying_again_opens_it(queue: WorkQueue) -> None:
    queue.add_dead_letters([dead_letter(1)])
    queue.add_actions([action(dead_letter(1), "replay"), action(dead_letter(1), "discard", "test data")])
    queue.add_results([("b1", "loader")])
    assert states(queue) == {"loader:0:1": "discarded"}

    queue.add_dead_letters([dead_letter(9, 1, batch_id="")])
    assert states(queue) == {"loader:0:9": "open"}


def test_a_dead_letter_that_names_no_record_is_an_entry_of_its_own(queue: WorkQueue) -> None:
    lost = [replace(dead_letter(offset), original=None, batch_id="") for offset in (1, 2)]
    queue.add_dead_letters(lost)
    queue.add_actions([action(lost[0], "discard", "?")])

    assert states(queue) == {"loader:0:1": "discarded", "loader:0:2": "open"}


def test_filters_narrow_and_the_counts_include_what_they_hide(queue: WorkQueue) -> None:
    queue.add_dead_letters(
        [
            dead_letter(1),
            dead_letter(2, reason="schema"),
            dead_letter(3, run_id="r2"),
            dead_letter(4, stage="x"),
            dead_letter(5),
        ]
    )
    queue.add_actions([action(dead_letter(5))])

    def offsets(filters: Filters) -> list[int]:
        return [entry.dead_letter.position.offset for entry in queue.oldest(filters, 10)]

    assert offsets(Filters(state="open")) == [1, 2, 3, 4]
    assert offsets(Filters(reason="schema")) == [2]
    assert offsets(Filters(run_id="r2", service="loader")) == [3]
    assert offsets(Filters(stage="x")) == [4]
    assert offsets(Filters(service="s3sink")) == []
    assert queue.count(Filters(run_id="r1", state="open")) == {
        "open": 3,
        "replayed": 1,
        "resolved": 0,
        "discarded": 0,
    }


def test_the_latest_come_first_in_a_list_and_the_oldest_in_a_replay(queue: WorkQueue) -> None:
    queue.add_dead_letters(dead_letter(offset) for offset in (3, 1, 2))

    assert [entry.dead_letter.position.offset for entry in queue.latest(EVERYTHING, 2)] == [3, 2]
    assert [entry.dead_letter.position.offset for entry in queue.oldest(EVERYTHING, 2)] == [1, 2]


def test_every_field_of_a_dead_letter_comes_back_as_it_was(queue: WorkQueue) -> None:
    odd = dead_letter(1, tries=None, first_failed_at=None, message="'; DROP TABLE entries; --\n\x1b[1m")
    cut = dead_letter(2, is_truncated=True)
    queue.add_dead_letters([odd, cut])

    for one in (odd, cut):
        entry = queue.entry("loader", one.identity)
        assert entry is not None
        assert entry.dead_letter == one
    assert queue.entry("loader", "never") is None


def test_the_batches_to_ask_for_come_in_pieces_and_once(queue: WorkQueue) -> None:
    queue.add_dead_letters([dead_letter(n, n % 5) for n in range(10)] + [dead_letter(20, batch_id="")])

    pieces = list(queue.batches_without_result(pieces=2))
    assert sorted(name for piece in pieces for name in piece) == ["b0", "b1", "b2", "b3", "b4"]
    assert max(map(len, pieces)) == 2


def test_a_long_queue_is_indexed_in_little_memory(queue: WorkQueue) -> None:
    queue.add_dead_letters(dead_letter(n) for n in range(20_000))

    assert queue.count(EVERYTHING)["open"] == 20_000
    assert queue.oldest(Filters(state="open"), 1)[0].dead_letter.position.offset == 0
