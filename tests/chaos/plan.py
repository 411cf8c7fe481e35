"""What a chaos run does, from its seed alone: which runs are asked for when, and which faults happen when.

Pure: the same seed and tier give the same plan on every machine, so a failure can be played again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, TypeVar

from shared.events.topology import SERVICES

_T = TypeVar("_T")

Kind = Literal["kill", "pause", "broker", "postgres", "store", "network"]

COMPONENT_OF: dict[Kind, str] = {"broker": "kafka", "postgres": "postgres", "store": "seaweedfs"}
NETWORK_TARGETS = ("kafka", "postgres", "seaweedfs")
NETWORK_FAULTS = ("latency", "bandwidth", "reset", "half_open", "slow_close", "down")

SHARES = {"posts": 0.25, "comments": 0.3, "photos": 0.25, "todos": 0.125, "albums": 0.065, "stories": 0.01}
"""Of a run's records. Every story is a request of its own."""


@dataclass(frozen=True)
class Tier:
    name: str
    runs: int
    rows_per_run: int
    batch_rows: int
    window_s: float
    """Seconds over which faults and requests are spread."""
    kills: int
    pauses: int
    brokers: int
    postgres: int
    stores: int
    networks: int
    broker_s: tuple[float, float]
    store_s: tuple[float, float]
    pause_s: tuple[float, float]
    """Above the consumers' session timeout of 10 s."""
    network_s: tuple[float, float]
    drain_s: float
    """How long the runs may take to end after the last fault; a busy machine takes longer than the tier's goal."""

    @property
    def rows(self) -> dict[str, int]:
        """Records of each dataset, the same in every run."""
        return {name: round(self.rows_per_run * share) for name, share in SHARES.items()}

    @property
    def records(self) -> int:
        return self.runs * sum(self.rows.values())


TIERS = {
    tier.name: tier
    for tier in (
        Tier(
            name="short", runs=10, rows_per_run=1000, batch_rows=25, window_s=90, kills=8, pauses=2, brokers=1, postgres=1,
            stores=1, networks=2, broker_s=(5, 12), store_s=(5, 10), pause_s=(12, 14), network_s=(4, 8), drain_s=240,
        ),
        Tier(
            name="ci", runs=25, rows_per_run=4000, batch_rows=60, window_s=840, kills=50, pauses=10, brokers=5, postgres=5,
            stores=5, networks=9, broker_s=(5, 60), store_s=(5, 30), pause_s=(12, 20), network_s=(5, 20), drain_s=900,
        ),
        Tier(
            name="release", runs=100, rows_per_run=10_000, batch_rows=100, window_s=6000, kills=300, pauses=60, brokers=20,
            postgres=20, stores=20, networks=36, broker_s=(5, 60), store_s=(5, 60), pause_s=(12, 30),
            network_s=(5, 40), drain_s=3600,
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    number: int
    at_s: float
    """After the first request."""
    kind: Kind
    target: str
    """A service, or a component."""
    how: str
    duration_s: float

    def __str__(self) -> str:
        lasts = f" for {self.duration_s:.1f} s" if self.duration_s else ""
        return f"{self.at_s:7.1f} s  {self.kind:<8} {self.target:<10} {self.how}{lasts}"


@dataclass(frozen=True)
class Ask:
    """A request for a run of every dataset."""

    at_s: float
    run_id: str


@dataclass(frozen=True)
class Plan:
    seed: int
    tier: Tier
    asks: tuple[Ask, ...]
    faults: tuple[Fault, ...]


def make_plan(seed: int, tier: Tier) -> Plan:
    random = Random(f"{seed}/{tier.name}")  # noqa: S311 - repeatable is what it has to be
    found = sorted(_faults(random, tier), key=lambda fault: fault[0])
    faults = tuple(Fault(number, *fault) for number, fault in enumerate(found))
    # The first at once, the last shortly before the end: there is work in flight all the time.
    step = tier.window_s * 0.95 / max(1, tier.runs - 1)
    asks = tuple(Ask(round(step * number, 1), f"chaos-{seed}-{number:03d}") for number in range(tier.runs))
    return Plan(seed, tier, asks, faults)


_Drawn = tuple[float, Kind, str, str, float]


def _faults(random: Random, tier: Tier) -> Iterator[_Drawn]:
    window_s = tier.window_s
    # Every service is hit about as often, in an order that the seed decides.
    victims = _dealt(random, SERVICES, tier.kills)
    for at_s, _ in _spread(random, window_s, tier.kills, lambda: 0.0):
        yield at_s, "kill", next(victims), "SIGKILL", 0.0
    paused = _dealt(random, SERVICES, tier.pauses)
    for at_s, lasts_s in _spread(random, window_s, tier.pauses, _between(random, tier.pause_s)):
        yield at_s, "pause", next(paused), "SIGSTOP", lasts_s
    yield from _outages(random, tier)
    pairs = _dealt(random, [(t, f) for t in NETWORK_TARGETS for f in NETWORK_FAULTS], tier.networks)
    for at_s, lasts_s in _spread(random, window_s, tier.networks, _between(random, tier.network_s)):
        target, how = next(pairs)
        yield at_s, "network", target, how, lasts_s


def _outages(random: Random, tier: Tier) -> Iterator[_Drawn]:
    """Of the components, one after the other in an order that the seed decides.

    Between two of them is time to recover, so that the recovery from each can be told; kills, pauses and network
    faults fall into it as they come.
    """
    ends = _dealt(random, ("SIGTERM", "SIGKILL"), tier.brokers)
    restarts = _dealt(random, ("fast", "immediate"), tier.postgres)
    losses = _dealt(random, ("SIGTERM", "SIGKILL"), tier.stores)
    drawn: list[tuple[Kind, str, float]] = [
        *(("broker", next(ends), round(random.uniform(*tier.broker_s), 1)) for _ in range(tier.brokers)),
        *(("postgres", next(restarts), 0.0) for _ in range(tier.postgres)),
        *(("store", next(losses), round(random.uniform(*tier.store_s), 1)) for _ in range(tier.stores)),
    ]
    random.shuffle(drawn)
    gap_s = (tier.window_s - sum(lasts_s for *_, lasts_s in drawn)) / len(drawn)
    at_s = 0.0
    for kind, how, lasts_s in drawn:
        early = random.uniform(0.05, 0.3)
        yield round(at_s + early * gap_s, 1), kind, COMPONENT_OF[kind], how, lasts_s
        at_s += gap_s + lasts_s


def _spread(
    random: Random, window_s: float, count: int, draw: Callable[[], float]
) -> Iterator[tuple[float, float]]:
    """One in each of `count` equal parts of the window, over before the next part begins: (start, duration)."""
    slot_s = window_s / max(1, count)
    for number in range(count):
        lasts_s = round(min(draw(), slot_s * 0.8), 1)
        yield round(number * slot_s + random.uniform(0.05, 0.95) * (slot_s - lasts_s), 1), lasts_s


def _between(random: Random, bounds: tuple[float, float]) -> Callable[[], float]:
    return lambda: random.uniform(*bounds)


def _dealt(random: Random, cards: Sequence[_T], count: int) -> Iterator[_T]:
    """`count` cards from shuffled decks: each is drawn about as often."""
    for drawn in range(count):
        if drawn % len(cards) == 0:
            deck = random.sample(cards, len(cards))
        yield deck[drawn % len(cards)]
