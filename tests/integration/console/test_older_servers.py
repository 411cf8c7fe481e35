"""What commands ask of the run ledger is answered by the older servers that OnPoint works with."""

import pytest

from tests.integration.console.test_ledger import (  # noqa: F401 - the same test, on these servers
    test_the_real_views_answer_every_question,
)

pytestmark = [pytest.mark.integration, pytest.mark.long]


@pytest.fixture
def postgres_dsn(older_dsn: str) -> str:
    return older_dsn
