"""Pages without an array of records: the pages behind them show whether the source had ended there."""

from services.crawler.adapters.batch_writer import BatchWriter, Fetched
from services.crawler.domain.fetching import Answer
from services.crawler.domain.missing_pages import missing_page
from shared.datasets.model import PagePagination


class UnconfirmedPages:
    """Of one batch, in the order of its pages. True while there are some."""

    def __init__(self, writer: BatchWriter, pagination: PagePagination) -> None:
        self._writer = writer
        self._pagination = pagination
        self._open: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return len(self._open)

    def saw(self, answer: Answer[Fetched]) -> None:
        """Records behind such a page show that it lacks its own; an array that is empty, that it was the end."""
        fetched = answer.value
        if fetched.rows:
            self.confirm()
        elif not fetched.lacking:
            self._open.clear()
        elif self._pagination.no_array == "fault":
            self._open.append((answer.url, fetched.lacking))

    def confirm(self) -> None:
        """They are missing."""
        for url, lacking in self._open:
            cause = f"{lacking}, and the source goes on behind it; if such pages are empty: no_array: end"
            self._writer.miss(url, missing_page(url, self._pagination.page_param, cause))
        self._open.clear()
