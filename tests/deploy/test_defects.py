"""Each seeded mistake is refused, and the refusal names it: what is taken elsewhere was really looked at."""

from typing import Any

import pytest

from tests.deploy.cluster.api import Object
from tests.deploy.cluster.simulated import SimulatedCluster
from tests.deploy.defects import DEFECTS, Defect
from tests.deploy.rendered import ALONE, OVERLAYS, alone, rendered

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(300)]


@pytest.mark.parametrize("defect", DEFECTS, ids=str)
def test_a_seeded_mistake_is_refused(defect: Defect, cluster: SimulatedCluster) -> None:
    """In the first object that has the place; the same object without the mistake is taken."""
    wanted, seeded = next(
        (each, changed)
        for overlay in OVERLAYS
        for each in map(alone, rendered(overlay))
        if each["kind"] == defect.kind and (changed := _seeded(defect, each)) is not None
    )
    cluster.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ALONE}})

    assert cluster.api.apply(wanted, dry=True).accepted
    refused = cluster.api.apply(seeded, dry=True)
    assert not refused.accepted
    assert defect.refusal in refused.message


def _seeded(defect: Defect, wanted: Object) -> dict[str, Any] | None:
    try:
        return defect.seeded(wanted)
    except (LookupError, TypeError):
        return None
