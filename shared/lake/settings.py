from typing import Annotated

from pydantic import Field

from shared.settings.model import Settings


class LakeSettings(Settings):
    lake_compact_target_bytes: Annotated[
        int, Field(ge=2**20, description="bytes that a compacted object of the lake should have")
    ] = 64 * 2**20
    lake_compact_interval_s: Annotated[
        int, Field(ge=0, le=604_800, description="seconds between two compactions by quality; 0: none")
    ] = 0
    lake_grace_hours: Annotated[
        int,
        Field(
            ge=0, le=87_600, description="hours that files stay in the lake after a compaction replaced them"
        ),
    ] = 24
