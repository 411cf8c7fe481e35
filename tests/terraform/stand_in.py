"""moto's server, with a resource id for each database: `python -m tests.terraform.stand_in -H 127.0.0.1 -p PORT`.

moto gives all of them the same one, and the provider, which asks by it, finds two where it waits for one.
"""

import sys
import uuid
from typing import Any

from moto.rds.models import DBInstance
from moto.server import main

_make = DBInstance.__init__


def _make_with_an_id(self: Any, *arguments: Any, **named: Any) -> None:
    _make(self, *arguments, **named)
    self.dbi_resource_id = f"db-{uuid.uuid4().hex[:26].upper()}"


if __name__ == "__main__":
    DBInstance.__init__ = _make_with_an_id  # type: ignore[method-assign]
    main(sys.argv[1:])
