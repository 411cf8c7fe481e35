"""Every user of the bus tries everything on every topic, group and transactional id of a broker with the pipeline's ACLs."""

import pytest

from shared.bus.access_admin import Difference, Grant, compare, grants
from shared.events import capture
from shared.events.access import users
from shared.events.topics import consumer_group
from shared.events.topology import SERVICES, TOPICS
from tests.access.attempts import REFUSALS, Action, Answers, try_everything, write_one
from tests.access.installation import Installation
from tests.support.secure_kafka import ADMIN

pytestmark = pytest.mark.access

FOREIGN = "payments"
OTHERS = (
    "cdc.public.onpoint_posts",
    capture.CONFIGS,
    capture.OFFSETS,
    capture.STATUS,
    capture.SIGNALS,
    capture.HEARTBEATS,
    FOREIGN,
)
GROUPS = (
    *map(consumer_group, SERVICES),
    consumer_group("lineage"),
    capture.SINK_GROUP,
    capture.CONNECT_GROUP,
    capture.SIGNAL_GROUP,
    "onpoint-airflow-reader",
    FOREIGN,
)
TRANSACTIONAL_IDS = (
    "onpoint-quality-run.drained-3",
    "onpoint-connect-onpoint-cdc-0",
    "connect-cluster-onpoint-connect",
    "onpoint-crawler-crawl.requested-0",
)
VERBS = {
    "describe": "Describe",
    "read": "Read",
    "write": "Write",
    "create": "Create",
    "describe configs": "DescribeConfigs",
    "alter configs": "AlterConfigs",
    "add partitions": "Alter",
    "delete": "Delete",
}
COMES_WITH = {"Describe": {"Read", "Write", "Delete", "Alter"}, "DescribeConfigs": {"AlterConfigs"}}
"""As the documentation of Kafka's authorizer has it."""


@pytest.fixture(scope="module")
async def kafka(installation: Installation) -> Installation:
    await installation.make_topics(OTHERS)
    await write_one(installation.broker.clients(ADMIN).admin(), {*TOPICS, *OTHERS})
    return installation


@pytest.mark.parametrize("user", users())
async def test_a_user_can_do_what_its_work_needs_and_nothing_else(kafka: Installation, user: str) -> None:
    answers = await answers_of(kafka, user)
    expected = {action: is_given(user, action) for action in answers}

    assert {action for action, code in answers.items() if code not in REFUSALS} == {
        action for action, given in expected.items() if given
    }
    assert len(answers) == 8 * len({*TOPICS, *OTHERS}) + 3 * len(GROUPS) + len(TRANSACTIONAL_IDS) + 3


@pytest.mark.parametrize("user", users())
async def test_what_a_user_may_read_and_write_is_read_and_written(kafka: Installation, user: str) -> None:
    answers = await answers_of(kafka, user)

    assert {
        action: code
        for action, code in answers.items()
        if action.resource == "topic" and action.verb in {"read", "write", "describe"} and code not in {0, 29}
    } == {}


async def test_a_super_user_is_let_do_all_of_it(kafka: Installation) -> None:
    admin = kafka.broker.clients(ADMIN).admin()
    await admin.start()
    try:
        answers = await try_everything(
            admin, topics=["spare"], groups=["spare"], transactional_ids=["spare-0"]
        )
    finally:
        await admin.close()

    assert {action for action, code in answers.items() if code in REFUSALS} == set()
    await kafka.broker.revoke([Grant("User:payments", "topic", FOREIGN, "Describe")])


async def test_the_broker_has_the_users_rights_and_no_others(kafka: Installation) -> None:
    assert await compare(kafka.broker.clients(ADMIN), grants(users())) == Difference((), (), ())


async def answers_of(kafka: Installation, user: str) -> Answers:
    admin = kafka.broker.clients(user).admin()
    await admin.start()
    try:
        return await try_everything(
            admin, topics={*TOPICS, *OTHERS}, groups=GROUPS, transactional_ids=TRANSACTIONAL_IDS
        )
    finally:
        await admin.close()


def is_given(user: str, action: Action) -> bool:
    acls = users()[user]
    if action.verb == "idempotent write":
        return any(
            acl.resource == "cluster" or "Write" in acl.operations for acl in acls if acl.resource != "group"
        )
    if action.resource == "cluster":
        return False
    operation = VERBS[action.verb]
    return any(
        acl.resource == action.resource
        and (acl.name == action.name or (acl.pattern == "prefixed" and action.name.startswith(acl.name)))
        and set(acl.operations) & {operation, *COMES_WITH.get(operation, ())}
        for acl in acls
    )
