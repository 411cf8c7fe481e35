"""What `onpoint migrate` writes of a dataset that it leaves out, and what the local stack reads."""

from console.cli import admin
from deploy.local import names


def test_the_local_stack_knows_the_line_by_its_beginning() -> None:
    assert names.LEFT_OUT == admin.LEFT_OUT
