"""The checker on real runs, with one defect of every invariant; `make test-faults` has them all."""

from collections.abc import AsyncIterator

import pytest

from console.verify.findings import INVARIANTS
from tests.support.damaged_stack import DamagedStack, Defect, named
from tests.support.defects.catalog import ONE_OF_EACH
from tests.support.verified import open_damaged_stack

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
async def target(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DamagedStack]:
    async with open_damaged_stack(tmp_path_factory.mktemp("verified")) as target:
        yield target


async def test_every_invariant_is_checked_and_met(target: DamagedStack) -> None:
    found = await target.ask()
    assert found.violations == []
    assert {name for name in INVARIANTS if found.checked[name]} == set(INVARIANTS)


def test_a_defect_of_every_invariant_is_tried() -> None:
    assert {defect.invariant for defect in ONE_OF_EACH} == set(INVARIANTS)


@pytest.mark.parametrize("defect", ONE_OF_EACH, ids=str)
async def test_a_single_defect_is_found_and_named(target: DamagedStack, defect: Defect) -> None:
    subject, found = await target.seeded(defect)
    assert named(found.violations, defect.invariant, subject), (subject, found.violations)
