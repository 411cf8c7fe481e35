"""A worker of the bench's Dask cluster as if it had a machine of its own: it waits as long as a batch takes there.

Copied beside a file `seconds`, into a folder on `PYTHONPATH` of nothing else. The batch is still
read, worked on and written, so it should be a small one.
"""

import sys
import time
from pathlib import Path
from typing import Any

SECONDS = "seconds"

if "services.processor.cluster.app" in sys.orig_argv:
    from services.processor import engine, work

    seconds = float(Path(__file__).with_name(SECONDS).read_text())
    known = engine.clean_raw

    def clean_after_a_while(*arguments: Any) -> Any:
        time.sleep(seconds)
        return known(*arguments)

    vars(work)["clean_raw"] = clean_after_a_while
