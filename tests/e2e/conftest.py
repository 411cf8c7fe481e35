import pytest

from deploy.local.stack import LocalStack
from tests.support.pipeline import Pipeline


@pytest.fixture(scope="session")
def pipeline(stack: LocalStack) -> Pipeline:
    return Pipeline(stack.environment())
