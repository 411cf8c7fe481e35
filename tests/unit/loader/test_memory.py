"""What a batch costs the loader in memory: a piece of its rows, decoded and encoded, however wide they are."""

from pathlib import Path

import pytest

from tests.support.wide_rows import ALLOWED_MIB, NARROW, WIDE, grown_mib

pytestmark = pytest.mark.long


ENCODE = """
import asyncio
from services.loader.adapters.encoder import encode_copy
from shared.parquet.reader import open_clean

async def consume():
    with open_clean(file, DATASET, artifact) as parquet:
        async for block in encode_copy(parquet, artifact, DATASET):
            pass

def work():
    asyncio.run(consume())
"""


@pytest.mark.parametrize("shape", [WIDE, NARROW], ids=["rows of 10 MB", "rows of 10 bytes"])
def test_rows_of_any_width_are_encoded_in_bounded_memory(tmp_path: Path, shape: tuple[int, int]) -> None:
    assert grown_mib(ENCODE, tmp_path, shape) < ALLOWED_MIB[shape]
