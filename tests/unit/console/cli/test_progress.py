import pytest
from rich.console import Console, RenderableType

from console.cli.progress import plain_lines, render
from console.client.ledger import StageProgress
from console.client.progress import STAGES, Key, Pace, Snapshot, by_key, fraction, is_over, left_s
from shared.events.topology import Stage


def stage(
    name: Stage = "crawler",
    *,
    dataset: str = "posts",
    planned: int | None = 10,
    rows_planned: int | None = None,
    done: int = 0,
    dead: int = 0,
    rows: int = 0,
) -> StageProgress:
    return StageProgress(dataset, name, planned, rows_planned, done, dead, rows)


def text(renderable: RenderableType, width: int) -> str:
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def snapshot(*datasets: str, **changes: object) -> Snapshot:
    stages = [
        stage(name, dataset=dataset, planned=1_234, done=617, rows=123_456_789)
        for dataset in datasets
        for name in STAGES
    ]
    values: dict[str, object] = {
        "run_id": "r-20261123T051530Z-1a2b3c4d",
        "status": "running",
        "elapsed_s": 72.0,
        "datasets": datasets,
        "stages": by_key(stages),
        "rows_per_s": {(s.dataset, s.stage): 123_456.7 for s in stages},
    }
    return Snapshot(**(values | changes))  # type: ignore[arg-type]  # a test's shorthand


def test_a_stage_is_over_when_every_batch_is_done_or_dead() -> None:
    assert is_over(stage(planned=10, done=9, dead=1))
    assert is_over(stage(planned=0))
    assert not is_over(stage(planned=10, done=9))
    assert not is_over(stage(planned=None, done=9))
    assert not is_over(None)


def test_the_share_that_is_done_is_never_more_than_all_and_unknown_without_a_plan() -> None:
    assert fraction(stage(planned=10, done=4, dead=1)) == 0.5
    assert fraction(stage(planned=10, done=12)) == 1.0
    assert fraction(stage(planned=0)) == 1.0
    assert fraction(stage(planned=None, rows_planned=200, rows=50)) == 0.25
    assert fraction(stage(planned=None)) is None
    assert fraction(None) is None


def test_the_time_left_follows_from_the_rows_of_a_batch_and_the_pace() -> None:
    assert left_s(stage(planned=10, done=5, rows=500), 100.0) == 5.0
    assert left_s(stage(planned=None, rows_planned=1_000, rows=500), 100.0) == 5.0


def test_no_time_is_promised_where_nothing_is_known() -> None:
    assert left_s(stage(planned=10, done=5, rows=500), None) is None
    assert left_s(stage(planned=10, done=5, rows=500), 0.0) is None
    assert left_s(stage(planned=10, done=10, rows=500), 100.0) is None
    assert left_s(stage(planned=None, rows=500), 100.0) is None
    assert left_s(stage(planned=10, dead=1), 100.0) is None


def test_the_pace_is_that_of_the_last_seconds_only() -> None:
    pace = Pace()
    key = ("posts", "crawler")
    for second in range(60):
        rates = pace.observe(float(second), {key: stage(rows=second * (10 if second < 30 else 100))})

    assert rates[key] == pytest.approx(100, rel=0.01)


def test_one_look_has_no_pace_and_a_stage_that_stands_still_has_none_either() -> None:
    pace = Pace()
    key = ("posts", "crawler")

    assert pace.observe(1.0, {key: stage(rows=5)}) == {}
    assert pace.observe(2.0, {key: stage(rows=5)}) == {}


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("height", [24, 60])
@pytest.mark.parametrize("count", [1, 3, 7, 40])
def test_the_screen_is_never_overrun(width: int, height: int, count: int) -> None:
    lines = text(
        render(snapshot(*(f"dataset_{n}" for n in range(count))), width=width, height=height), width
    ).splitlines()

    assert len(lines) < height
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", [80, 120])
def test_with_room_each_stage_has_its_batches_rows_pace_and_time_left(width: int) -> None:
    shown = text(render(snapshot("posts"), width=width, height=24), width)

    store = next(line for line in shown.splitlines() if "store" in line)
    assert "617/1,234" in store
    assert "123,456,789 rows" in store
    assert "123,457/s" in store
    assert "16 min 40 s" in store
    assert "━" in store


def test_with_many_datasets_each_has_one_line_and_the_busy_ones_stay_on_the_screen() -> None:
    names = tuple(f"d{n}" for n in range(30))
    stages: dict[Key, StageProgress] = {}
    for number, dataset in enumerate(names):
        done = 10 if number < 25 else 5 if number < 28 else 0
        stages |= by_key([stage(name, dataset=dataset, done=done, rows=done) for name in STAGES])

    shown = text(render(snapshot(*names, stages=stages), width=80, height=12), 80)

    assert all(f"d{number} " in shown for number in (25, 26, 27))
    assert "and 25 more" in shown


def test_dead_batches_are_shown_as_text_so_that_colour_is_not_needed() -> None:
    stages = by_key([stage("loader", done=3, dead=2)])

    assert "5/10 (2 dead)" in text(render(snapshot("posts", stages=stages), width=80, height=24), 80)


def test_before_anything_is_known_the_datasets_are_shown_with_a_note() -> None:
    shown = text(
        render(
            snapshot("posts", stages={}, rows_per_s={}, status="requested", note="the crawler is away"),
            width=80,
            height=24,
        ),
        80,
    )

    assert "requested" in shown
    assert "posts" in shown
    assert "the crawler is away" in shown


def test_a_log_gets_one_line_for_each_dataset_of_which_something_is_known() -> None:
    stages = by_key([stage("crawler", done=3, rows=1_500), stage("loader", done=1, dead=1, rows=500)])

    assert plain_lines(snapshot("posts", "users", stages=stages)) == {
        "posts": "posts: crawl 3/10 batches, load 2/10 (1 dead); 1,500 rows crawled"
    }


@pytest.mark.parametrize("height", [6, 100])
def test_a_replay_shows_the_stages_that_it_has(height: int) -> None:
    names: tuple[Stage, ...] = ("crawler", "processor", "loader")
    stages = [stage(name, dataset=dataset, done=10) for dataset in ("posts", "users") for name in names]
    shown = text(render(snapshot("posts", "users", stages=by_key(stages)), width=100, height=height), 100)
    assert [word for word in ("crawl", "process", "convert", "load", "store") if word in shown] == [
        "crawl",
        "process",
        "load",
    ]


def test_what_a_run_waits_for_stands_below_its_heading() -> None:
    lines = text(render(snapshot("posts", phase="asked, waiting for the crawler"), width=80, height=24), 80)

    assert lines.splitlines()[1].rstrip() == "asked, waiting for the crawler"


@pytest.mark.parametrize("height", [8, 24])
def test_a_phase_keeps_to_the_screen(height: int) -> None:
    shown = snapshot(*(f"dataset{n}" for n in range(30)), phase="crawling: 1,234 records so far")

    assert len(text(render(shown, width=80, height=height), 80).splitlines()) < height
