"""The pipeline: its stages, what each works on and where its results go. A new stage is one entry of `PIPELINE`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from shared.events import topics

Stage = Literal["crawler", "processor", "converter", "loader", "s3sink"]
"""The names alone, as type checkers need them: `PIPELINE` has one entry for each."""

ReplayStage = Literal["processor", "converter", "loader", "s3sink"]
"""The stages from which a run can be replayed."""


@dataclass(frozen=True, slots=True)
class StageEntry:
    """One stage of the pipeline."""

    name: Stage
    parent: Stage | None
    """The stage whose results it works on; None: it works on requests."""
    result_topic: str
    """The topic of its done batches."""
    commits_in_staging: bool
    """True: its manifests are objects in staging. False: its results are committed in its own tables."""


PIPELINE: Final = (
    StageEntry("crawler", None, topics.BATCH_CRAWLED, commits_in_staging=True),
    StageEntry("processor", "crawler", topics.BATCH_PROCESSED, commits_in_staging=True),
    StageEntry("converter", "processor", topics.BATCH_CONVERTED, commits_in_staging=True),
    StageEntry("loader", "processor", topics.BATCH_LOADED, commits_in_staging=False),
    StageEntry("s3sink", "processor", topics.BATCH_STORED, commits_in_staging=False),
)

STAGES: Final[tuple[Stage, ...]] = get_args(Stage)
SERVICES: Final[tuple[str, ...]] = (*STAGES, "quality")
"""Each stage is a service. Quality is not a stage: it keeps the ledger of them all."""

PARENT_STAGE: Final[Mapping[Stage, Stage | None]] = {stage.name: stage.parent for stage in PIPELINE}
RESULT_OF_STAGE: Final[Mapping[Stage, str]] = {stage.name: stage.result_topic for stage in PIPELINE}
STAGE_OF_RESULT: Final[Mapping[str, Stage]] = {stage.result_topic: stage.name for stage in PIPELINE}
STAGES_IN_STAGING: Final = frozenset(stage.name for stage in PIPELINE if stage.commits_in_staging)
LAST_STAGES: Final = tuple(name for name in STAGES if name not in PARENT_STAGE.values())
"""The stages that deliver: no other works on their results."""

TOPICS: Final[tuple[str, ...]] = (
    *(value for name, value in vars(topics).items() if name.isupper()),
    *(name(service) for service in SERVICES for name in (topics.retry_topic, topics.dead_letter_topic)),
)
"""Every topic of the pipeline."""


def stages_of(from_stage: ReplayStage | None) -> tuple[Stage, ...]:
    """The stages that a run has: all, or, in a replay, `from_stage`, what it depends on and what depends on it.

    None: the run is not a replay. A replay copies the results of the stages before `from_stage`.
    """
    if from_stage is None:
        return STAGES
    return tuple(name for name in STAGES if from_stage in _line(name) or name in _line(from_stage))


def _line(stage: Stage) -> list[Stage]:
    """The stage, its parent and so on."""
    line = [stage]
    while (parent := PARENT_STAGE[line[-1]]) is not None:
        line.append(parent)
    return line
