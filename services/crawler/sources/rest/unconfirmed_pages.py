"""Pages without an array of records: the pages behind them show whether the source had ended there."""

from services.crawler.adapters.batch_writer import BatchWriter, Fetched, missed
from services.crawler.domain.fetching import Answer
from services.crawler.domain.missing_pages import missing_page
from shared.datasets.pagination import PagePagination


class UnconfirmedPages:
    """Of one batch, in the order of its pages. True while there are some.

    The writer keeps them, and with it the checkpoint.
    """

    def __init__(self, writer: BatchWriter, pagination: PagePagination) -> None:
        self._writer = writer
        self._pagination = pagination

    def __len__(self) -> int:
        return len(self._writer.unconfirmed)

    def add(self, answer: Answer[Fetched]) -> None:
        """Records behind such a page show that its own are missing; an empty array shows that it was the end."""
        fetched = answer.value
        if fetched.rows:
            self.mark_missing()
        elif not fetched.lacking:
            self._writer.unconfirmed.clear()
        elif self._pagination.no_array == "fault":
            cause = (
                f"{fetched.lacking}, and the source goes on behind it; if such pages are empty: no_array: end"
            )
            reason = missing_page(answer.url, self._pagination.page_param, cause)
            self._writer.unconfirmed.append(missed(answer.url, reason))

    def mark_missing(self) -> None:
        self._writer.missing += self._writer.unconfirmed
        self._writer.unconfirmed.clear()
