from services.crawler.domain import urls
from services.crawler.domain.fetching import Answer


def next_link_of(answer: Answer[object]) -> str | None:
    """The next page that an answer names, even where it may not be followed."""
    try:
        return urls.next_by_link(answer.headers.get("link", ()), answer.answered_url)
    except urls.CursorError as error:
        return error.url
