import os

import pytest

from deploy.local.debian import Observers, fetch_observers


@pytest.fixture(scope="session")
def observers() -> Observers:
    """The programs of Prometheus and Alertmanager."""
    return fetch_observers(os.environ, lambda _: None)
