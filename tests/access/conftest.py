from collections.abc import AsyncIterator, Iterator

import pytest

from deploy.local.stack import LocalStack
from shared.events.access import users
from tests.access.installation import Installation
from tests.support.secure_kafka import ADMIN, SecureKafka

STRANGER = "stranger"


@pytest.fixture(scope="module")
def components(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A database and a store for each broker: what `onpoint verify` compares belongs together."""
    with LocalStack(tmp_path_factory.mktemp("components"), ports="free", services=()) as stack:
        yield stack
        stack.down(wipe=True)


@pytest.fixture(scope="module")
async def installation(
    components: LocalStack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    """A broker with the rights and the topics that the commands of the project give it."""
    with SecureKafka(tmp_path_factory.mktemp("kafka"), (*users(), STRANGER)) as broker:
        found = Installation(broker, components.environment())
        for user, words in ((ADMIN, ("access", "apply")), ("topics", ("topics", "apply"))):
            done = await found.onpoint(user, *words)
            assert done.code == 0, done.err
        yield found
