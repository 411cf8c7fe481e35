"""The kinds of pagination that the crawler knows: one line each."""

from collections.abc import Mapping
from typing import Any, Final

from services.crawler.sources.base import Options, PaginationKind
from services.crawler.sources.rest import ids, none, page
from shared.datasets.pagination import PaginationOptions

_KINDS: tuple[PaginationKind[Any], ...] = (
    page.KIND,
    ids.KIND,
    none.KIND,
)

KINDS: Final[Mapping[type[PaginationOptions], PaginationKind[Any]]] = {kind.options: kind for kind in _KINDS}
"""By their options."""


def kind_of(pagination: Options) -> PaginationKind[Options]:
    return KINDS[type(pagination)]
