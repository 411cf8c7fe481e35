"""A chaos plan follows from its seed, and has the faults of its tier."""

from collections import Counter
from itertools import pairwise

import pytest

from shared.events.topology import SERVICES
from tests.chaos.plan import SHARES, TIERS, Fault, Tier, make_plan

EVERY_TIER = pytest.mark.parametrize("tier", TIERS.values(), ids=TIERS)


@EVERY_TIER
def test_the_same_seed_is_the_same_plan_and_another_is_not(tier: Tier) -> None:
    assert make_plan(7, tier) == make_plan(7, tier)
    assert make_plan(7, tier).faults != make_plan(8, tier).faults


@EVERY_TIER
@pytest.mark.parametrize("seed", range(20))
def test_every_fault_of_the_tier_is_in_the_plan_inside_its_window(tier: Tier, seed: int) -> None:
    plan = make_plan(seed, tier)
    counts = Counter(fault.kind for fault in plan.faults)
    assert counts == {
        "kill": tier.kills,
        "pause": tier.pauses,
        "broker": tier.brokers,
        "postgres": tier.postgres,
        "store": tier.stores,
        "network": tier.networks,
    }
    assert all(fault.at_s >= 0 and fault.at_s + fault.duration_s <= tier.window_s for fault in plan.faults)
    assert [fault.at_s for fault in plan.faults] == sorted(fault.at_s for fault in plan.faults)


@EVERY_TIER
def test_every_service_is_killed_about_as_often(tier: Tier) -> None:
    kills = Counter(fault.target for fault in make_plan(7, tier).faults if fault.kind == "kill")
    assert set(kills) == set(SERVICES)
    assert max(kills.values()) - min(kills.values()) <= 1


@EVERY_TIER
@pytest.mark.parametrize("seed", range(20))
def test_two_outages_of_one_component_never_overlap(tier: Tier, seed: int) -> None:
    by_kind: dict[str, list[Fault]] = {}
    for fault in make_plan(seed, tier).faults:
        if fault.kind != "kill":
            by_kind.setdefault(fault.kind, []).append(fault)
    for faults in by_kind.values():
        assert all(first.at_s + first.duration_s <= second.at_s for first, second in pairwise(faults))


@pytest.mark.parametrize("seed", range(20))
def test_components_have_time_to_recover_before_the_next_one_goes(seed: int) -> None:
    for tier in (TIERS["ci"], TIERS["release"]):
        outages = [
            fault for fault in make_plan(seed, tier).faults if fault.kind in {"broker", "postgres", "store"}
        ]
        gaps_s = [second.at_s - first.at_s - first.duration_s for first, second in pairwise(outages)]
        assert min(gaps_s) >= 20


def test_a_pause_outlasts_the_session_timeout() -> None:
    for tier in TIERS.values():
        assert all(f.duration_s > 10 for f in make_plan(7, tier).faults if f.kind == "pause")


def test_the_tiers_have_the_agreed_sizes() -> None:
    ci, release = TIERS["ci"], TIERS["release"]
    assert (ci.records, ci.kills, ci.pauses, ci.brokers, ci.postgres, ci.stores) == (100_000, 50, 10, 5, 5, 5)
    assert (release.records, release.kills, release.pauses) == (1_000_000, 300, 60)
    assert (release.brokers, release.postgres, release.stores) == (20, 20, 20)
    assert sum(SHARES.values()) == pytest.approx(1)


def test_requests_come_until_the_faults_end() -> None:
    for tier in TIERS.values():
        asks = make_plan(7, tier).asks
        assert asks[0].at_s == 0
        assert 0.9 * tier.window_s <= asks[-1].at_s <= tier.window_s
        assert len({ask.run_id for ask in asks}) == tier.runs
