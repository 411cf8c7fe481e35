"""Random histories of an installation: what operators and sources do, one step after the other. Pure: the seed decides."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal[
    "good",
    "limited",
    "source down",
    "source empty",
    "some bad",
    "all bad",
    "page fails",
    "every page fails",
    "table refuses",
    "refused",
    "asked twice",
    "cancelled",
    "several datasets",
    "replay",
    "undecodable",
    "dead letters replayed",
    "dead letters fail again",
    "dead letters discarded",
    "sweep",
    "service restarted",
    "file changed",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
RUNS = KINDS[: KINDS.index("replay")]
"""Steps that ask for a run of their own."""

WEIGHTS: dict[Kind, int] = {
    "good": 6, "replay": 6, "dead letters replayed": 3, "cancelled": 4, "every page fails": 3, "service restarted": 1,
}  # fmt: skip
"""Of the others: 2. What takes seconds is rare."""

DATASETS = ("pages", "chained", "single", "items")
STAGES = ("processor", "converter", "loader", "s3sink")
SEVERAL = 3


@dataclass(frozen=True)
class Step:
    kind: Kind
    dataset: str = "pages"
    number: int = 0
    """Whatever else has to be chosen is chosen by it."""
    waits: bool = True
    """False: the next step does not wait for the end of the run."""


DAYS: dict[str, tuple[Step, ...]] = {
    "a refused request alone": (
        Step("refused", number=0),
        Step("refused", number=1),
        Step("refused", number=6),
    ),
    "a run that stored nothing": (Step("good"), Step("source down", number=1)),
    "every other way to store nothing": (
        Step("good", "chained"),
        Step("source empty", "chained"),
        Step("all bad", "chained"),
        Step("every page fails", "chained", 1),
        Step("refused"),
    ),
    "a column is gained, and goes": (
        Step("good", "single"),
        Step("file changed", "single", 0),
        Step("limited", "single", 3),
        Step("replay", "single", 0),
        Step("file changed", "single", 0),
        Step("limited", "single", 1),
    ),
    "a dead letter dies again, then lives": (
        Step("every page fails", number=1),
        Step("dead letters fail again", number=3),
        Step("dead letters replayed", number=1),
    ),
    "a dead letter dies again": (
        Step("every page fails", number=1),
        Step("dead letters fail again", number=1),
        Step("dead letters fail again", number=3),
    ),
    "a dead letter is discarded": (
        Step("good", "items"),
        Step("table refuses", "items", 5),
        Step("dead letters discarded", "items"),
        Step("good", "items", 7),
    ),
    "what is swept is replayed": (
        Step("some bad"),
        Step("sweep"),
        Step("replay", number=0),
        Step("replay", number=11),
        Step("dead letters replayed", number=1),
    ),
    "runs of one dataset at once": (
        Step("good", number=1, waits=False),
        Step("limited", number=2, waits=False),
        Step("cancelled", number=3, waits=False),
        Step("page fails", number=4, waits=False),
        Step("asked twice", number=5),
    ),
}
"""Histories that are worth a name."""


def history(seed: int, datasets: Sequence[str] = DATASETS) -> list[Step]:
    """Three to seven steps, mostly about two datasets, so that their runs meet in the tables."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    some = chance.sample(list(datasets), 2)
    steps: list[Step] = []
    for _ in range(chance.randint(3, 7)):
        kinds = KINDS if steps else RUNS  # without a run there is nothing to replay
        [kind] = chance.choices(kinds, [WEIGHTS.get(kind, 2) for kind in kinds])
        if kind in {"service restarted", "file changed"} and any(step.kind == kind for step in steps):
            kind = "good"
        steps.append(Step(kind, chance.choice(some), chance.randrange(1000), chance.random() < 0.6))
    return steps


def smaller(steps: Sequence[Step]) -> list[list[Step]]:
    """The history without each of its steps, the last steps first."""
    return [[*steps[:place], *steps[place + 1 :]] for place in reversed(range(len(steps)))]
