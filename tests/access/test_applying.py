"""`onpoint access apply` on a broker whose ACLs differ from what the users need."""

import pytest

from shared.bus.access_admin import EVERYONE, Grant
from tests.access.installation import Installation
from tests.support.secure_kafka import ADMIN

pytestmark = pytest.mark.access

NEEDED = Grant("User:loader", "topic", "batch.processed", "Read")
TOO_MUCH = Grant("User:loader", "topic", "crawl.requested", "Write")
OF_EVERYONE = Grant(EVERYONE, "topic", "batch.", "Describe", "prefixed")
OF_OTHERS = Grant("User:payments", "topic", "payments", "Write")


async def test_what_is_in_place_is_left_as_it_is(installation: Installation) -> None:
    for words in (("--dry-run",), ()):
        found = await installation.onpoint(ADMIN, "access", "apply", *words)

        assert found.code == 0
        assert found.out.splitlines()[-1].endswith(" rights of 13 users are in place, 0 of them new")


async def test_a_dry_run_names_each_difference_and_changes_nothing(installation: Installation) -> None:
    await installation.broker.revoke([NEEDED])
    await installation.broker.allow([TOO_MUCH, OF_EVERYONE, OF_OTHERS])

    for _ in range(2):
        found = await installation.onpoint(ADMIN, "access", "apply", "--dry-run")
        assert found.code == 1
        assert found.out.splitlines() == [
            f"missing {NEEDED}",
            f"too much {TOO_MUCH}",
            f"of everyone {OF_EVERYONE}",
            "1 missing, 1 too many, of 13 users",
        ]


async def test_what_is_too_much_goes_when_asked_and_other_users_keep_theirs(
    installation: Installation,
) -> None:
    added = await installation.onpoint(ADMIN, "access", "apply")
    pruned = await installation.onpoint(ADMIN, "access", "apply", "--prune")
    again = await installation.onpoint(ADMIN, "access", "apply", "--dry-run")

    assert f"added {NEEDED}" in added.out
    assert "1 right left alone: --prune removes them" in added.out
    assert f"removed {TOO_MUCH}" in pruned.out
    assert (again.code, f"of everyone {OF_EVERYONE}" in again.out) == (0, True)
    await installation.broker.revoke([OF_EVERYONE, OF_OTHERS])


async def test_a_user_that_is_no_super_user_is_told_what_it_needs(installation: Installation) -> None:
    found = await installation.onpoint("loader", "access", "apply")

    assert found.code == 2
    assert (
        found.err
        == "onpoint: Kafka denies the user 'loader' to see its ACLs: it needs Describe on the cluster\n"
    )


async def test_the_user_that_makes_topics_may_do_it_again_and_others_may_not(
    installation: Installation,
) -> None:
    again = await installation.onpoint("topics", "topics", "apply")
    refused = await installation.onpoint("console", "topics", "apply")

    assert again.code == 0
    assert refused.code != 0
    assert refused.err.startswith("onpoint: ")
