"""A stack that these tests may break; the session's own one stays whole."""

from collections.abc import Iterator

import pytest

from deploy.local.stack import LocalStack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """The components without the services."""
    with LocalStack(tmp_path_factory.mktemp("stack") / "home", services=()) as stack:
        yield stack
        stack.down(wipe=True)
