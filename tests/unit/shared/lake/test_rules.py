"""Which files become one: whole by property, and each rule by example."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from shared.lake.rules import MOST_TARGETS, LakeFile, object_name, plan_compactions, plan_latest
from shared.lake.status import lake_status

TARGET = 1000


def a_file(
    number: int, size: int = 100, folder: str = "posts/hour=01", *, is_settled: bool = True
) -> LakeFile:
    key = f"{folder}/{number:04}.parquet"
    return LakeFile(key, f"s3://lake/{key}", 10, size, "0" * 64, is_settled)


def numbers(files: tuple[LakeFile, ...]) -> list[int]:
    return [int(file.key[-12:-8]) for file in files]


files = st.lists(
    st.tuples(st.integers(1, 2 * TARGET), st.sampled_from(["posts/a=1", "posts/a=2"]), st.booleans()),
    max_size=60,
).map(
    lambda drawn: [
        a_file(number, size, folder, is_settled=is_settled)
        for number, (size, folder, is_settled) in enumerate(drawn)
    ]
)


@given(files)
def test_a_plan_has_settled_small_files_of_one_folder_and_no_file_is_in_two(found: list[LakeFile]) -> None:
    plans = plan_compactions("posts", found, TARGET)
    sources = [source for plan in plans for source in plan.sources]
    assert max(Counter(sources).values(), default=0) <= 1
    for plan in plans:
        assert len(plan.sources) > 1
        assert {source.folder for source in plan.sources} == {plan.folder}
        assert all(source.is_settled and source.bytes < TARGET // 2 for source in plan.sources)
        assert plan.bytes <= MOST_TARGETS * TARGET


@given(files)
def test_after_a_compaction_nothing_is_to_win_but_a_file_for_each_folder(found: list[LakeFile]) -> None:
    plans = plan_compactions("posts", found, TARGET)
    gone = {source for plan in plans for source in plan.sources}
    made = [a_file(1000 + number, plan.bytes, plan.folder) for number, plan in enumerate(plans)]
    again = plan_compactions("posts", [*(file for file in found if file not in gone), *made], TARGET)
    assert len(again) <= 2


def test_the_order_in_which_files_are_told_is_of_no_matter() -> None:
    found = [a_file(number) for number in range(5)]
    [plan], [other] = plan_compactions("posts", found, TARGET), plan_compactions("posts", found[::-1], TARGET)
    assert plan.name == other.name
    assert numbers(plan.sources) == [0, 1, 2, 3, 4]


def test_a_group_ends_at_the_target() -> None:
    plans = plan_compactions("posts", [a_file(number, 300) for number in range(6)], TARGET)
    assert [numbers(plan.sources) for plan in plans] == [[0, 1, 2, 3], [4, 5]]


def test_names_tell_apart_what_is_not_the_same() -> None:
    found = [a_file(number) for number in range(3)]
    [plan] = plan_compactions("posts", found, TARGET)
    [latest] = plan_latest("posts", found, [], TARGET)
    [fewer] = plan_compactions("posts", found[:2], TARGET)
    assert len({plan.name, latest.name, fewer.name}) == 3
    assert object_name(plan.name, "a") != object_name(plan.name, "b")


def test_a_large_file_with_a_superseded_row_is_written_anew_and_others_are_left() -> None:
    found = [a_file(0, 2000), a_file(1, 2000), a_file(2, 100)]
    plans = plan_latest("posts", found, [found[1].key], TARGET)
    assert [numbers(plan.sources) for plan in plans] == [[1]]


def test_the_score_is_the_share_of_objects_that_a_compaction_leaves() -> None:
    found = lake_status("posts", [*(a_file(n) for n in range(9)), a_file(9, 900)], TARGET, ratio=0.5)
    assert (found.objects, found.small_objects, found.objects_to_win, found.score) == (10, 9, 8, 20)
    assert (found.bytes_to_win, sum(found.sizes)) == (450, 10)
    nothing = lake_status("posts", [], TARGET, ratio=None)
    assert (nothing.score, nothing.bytes_to_win) == (100, None)
