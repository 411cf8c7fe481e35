from structlog.testing import capture_logs

from shared.errors import TransientError
from shared.runtime import background
from shared.runtime.background import Outage, backoff_s


def test_the_delay_grows_to_a_bound() -> None:
    delays = [backoff_s(failures) for failures in range(6)]
    assert delays == sorted(delays)
    assert delays[-2] == delays[-1] == max(background.BACKOFF_S)


async def test_an_outage_is_logged_when_it_begins_and_when_it_is_over() -> None:
    outage = Outage("loop_paused", "loop_resumed")
    with capture_logs() as logs:
        outage.end()
        for _ in range(2):
            await outage.wait(TransientError("the store is away"))
        outage.end()
        outage.end()
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("loop_paused", "warning"),
        ("loop_resumed", "info"),
    ]
    assert logs[0]["why"] == "TransientError: the store is away"
    assert logs[1]["tries"] == 2


async def test_work_that_stands_still_is_named_with_its_cause_until_it_goes_on() -> None:
    outage, nameless = (
        Outage("sink_paused", "sink_resumed", work="the sink"),
        Outage("loop_paused", "loop_resumed"),
    )
    for _ in range(2):
        await outage.wait(TransientError("the store is away"))
        await nameless.wait(TransientError("the store is away"))
    [problem] = background.problems()
    assert problem.startswith("the sink paused since 2")
    assert problem.endswith(": TransientError: the store is away")
    outage.end()
    assert background.problems() == []
