"""What the counters of the metrics registry gained during a test: the registry is one per process."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter


@contextmanager
def gained(counter: Counter) -> Iterator[dict[tuple[str, ...], float]]:
    """By the values of the labels; filled when the block ends."""
    before, found = _values(counter), dict[tuple[str, ...], float]()
    yield found
    for labels, value in _values(counter).items():
        if more := value - before.get(labels, 0):
            found[labels] = more


def _values(counter: Counter) -> dict[tuple[str, ...], float]:
    return {
        tuple(sample.labels.values()): sample.value
        for metric in counter.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    }
