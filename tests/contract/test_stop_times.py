"""A service is killed only later than its drain may take: what follows the drain takes seconds of its own."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local.control import ORDER_TIMEOUT_S
from deploy.local.launcher import STOP_WAIT_S
from deploy.local.names import SUPERVISOR
from deploy.local.orphans import SERVICE_STOP_S, STOP_S
from shared.bus.subscriptions import DRAIN_S
from shared.events.topology import SERVICES

AFTER_DRAIN_S = 5
COMPOSE: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "docker-compose.yml").read_text())


def test_the_local_stack_waits_for_a_full_drain_and_its_end() -> None:
    assert SERVICE_STOP_S >= DRAIN_S + AFTER_DRAIN_S


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_is_not_killed_before_a_full_drain_and_its_end(name: str) -> None:
    assert int(COMPOSE["services"][name]["stop_grace_period"].removesuffix("s")) >= DRAIN_S + AFTER_DRAIN_S


def test_a_stop_of_the_stack_waits_for_services_then_components() -> None:
    components_s = max(seconds for name, seconds in STOP_S.items() if name != SUPERVISOR)
    whole_s = SERVICE_STOP_S + components_s
    assert min(STOP_S[SUPERVISOR], ORDER_TIMEOUT_S, STOP_WAIT_S) > whole_s
