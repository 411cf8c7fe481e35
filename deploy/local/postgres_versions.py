"""Which PostgreSQL the local stack runs."""

from collections.abc import Mapping

from deploy.local.errors import StackError

SETTING = "ONPOINT_LOCAL_POSTGRES_VERSION"

DEFAULT = "18"
"""Its release is in pom.xml, with Kafka's."""

RELEASES = {"15": "15.18.0", "16": "16.14.0", "17": "17.10.0"}
"""Of the other versions, as Maven names them."""

KNOWN = (*RELEASES, DEFAULT)

BUILTIN_LOCALE = 17
"""From this version on the server brings a UTF-8 locale of its own."""


def chosen_version(environ: Mapping[str, str]) -> str:
    """The major version that the caller wants. Raises `StackError` for one that is not known."""
    version = environ.get(SETTING) or DEFAULT
    if version not in KNOWN:
        raise StackError(f"{SETTING} is {version!r}: it must be one of {', '.join(KNOWN)}")
    return version


def locale_options(version: str) -> tuple[str, ...]:
    """Options of initdb for texts that sort by their bytes and know every letter's case."""
    if int(version) >= BUILTIN_LOCALE:
        return ("--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    return ("--locale-provider=icu", "--icu-locale=und")
