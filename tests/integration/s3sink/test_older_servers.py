"""The lake's objects on the older PostgreSQL versions that OnPoint supports."""

import pytest

from tests.integration.s3sink.test_assigning import (  # noqa: F401 - the same tests, on these servers
    test_a_sealed_run_is_stored_when_its_last_batch_arrives,
    test_of_many_replicas_that_get_the_batches_of_a_sealed_run_at_once_none_strands_one,
)
from tests.integration.s3sink.test_redriving import (  # noqa: F401 - as above
    test_a_dead_batch_of_a_sealed_run_is_stored_at_once_when_it_is_replayed,
)
from tests.integration.s3sink.test_writing import (  # noqa: F401 - as above
    test_a_bad_artifact_makes_its_batch_dead_and_the_rest_is_stored,
    test_two_replicas_share_the_objects,
)

pytestmark = pytest.mark.integration


@pytest.fixture
def postgres_dsn(older_dsn: str) -> str:
    return older_dsn
