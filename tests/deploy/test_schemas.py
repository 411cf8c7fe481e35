"""Every object by the schema of its kind: the part of the API server's check that needs no server."""

from pathlib import Path

import pytest
import yaml

from tests.deploy.cluster.schemas import kubeconform
from tests.deploy.rendered import OVERLAYS, rendered, text_of

pytestmark = pytest.mark.deploy


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_is_valid(overlay: str, schemas: Path) -> None:
    assert kubeconform(schemas, text_of(overlay)) == (0, [])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_kind_has_a_schema_that_refuses_other_fields(overlay: str, schemas: Path) -> None:
    kinds = {each["kind"]: {**each, "speck": {}} for each in rendered(overlay)}
    code, wrong = kubeconform(schemas, yaml.safe_dump_all(kinds.values()))
    assert code == 1
    assert {each["kind"] for each in wrong if "additional properties 'speck'" in each["msg"]} == set(kinds)
