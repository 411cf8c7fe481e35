from typing import Annotated

from pydantic import Field

from shared.settings.model import Settings
from shared.version import CODE_VERSION


class CrawlSettings(Settings):
    crawl_allow_hosts: Annotated[
        str, Field(description="private hosts that may be crawled: host[:port], comma-separated")
    ] = ""
    crawl_batch_rows: Annotated[
        int,
        Field(ge=0, le=100_000, description="rows of a batch at most; 0: by the memory that is available"),
    ] = 0
    crawl_secrets_dirs: Annotated[
        str,
        Field(description="folders, comma-separated, in which files of sources' secrets may be"),
    ] = "/run/secrets"
    crawl_timeout_s: Annotated[
        float,
        Field(
            gt=0, le=600, description="seconds one try of a request may take, its redirects and body included"
        ),
    ] = 120
    crawl_read_timeout_s: Annotated[
        float,
        Field(gt=0, le=600, description="seconds without a byte of the answer after which a try fails"),
    ] = 15
    crawl_user_agent: Annotated[
        str,
        Field(
            min_length=1,
            max_length=200,
            pattern=r"^[\x20-\x7e]+$",
            description="User-Agent, with a contact for the sources",
        ),
    ] = f"OnPoint/{CODE_VERSION} (+contact: set ONPOINT_CRAWL_USER_AGENT)"
