"""The connection to the scheduler: made when it is first needed, and made anew after it was lost."""

import asyncio
import contextlib
import logging
import ssl
import warnings

from distributed import Client, Security
from distributed.versions import VersionMismatchWarning

from shared.dask.errors import ConnectionLostError
from shared.dask.versions import differences, own_versions

CONNECT_S = 5
CLOSE_S = 2

_SPOKEN = ("python", "dask", "distributed")
"""What both ends of the connection have to have in one version."""

_UNTRUSTED = (
    "its certificate is not of the CA that ONPOINT_DASK_TLS_CA_FILE names, or it does not accept ours"
)
_NO_TLS = "it speaks no TLS, or another version of it"


class Connection:
    """One per process and event loop. Every method raises `ConnectionLostError` while the scheduler is away."""

    def __init__(self, address: str, security: Security | None, name: str = "onpoint-processor") -> None:
        """`name` is shown on the cluster's dashboard."""
        self.address = address
        self._name = name
        self._security = security
        self._client: Client | None = None
        self._connecting = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()
        log_as_others()

    async def client(self) -> Client:
        async with self._connecting:
            if self._client is not None and self._client.status != "running":
                self.drop(self._client)
            if self._client is None:
                self._client = await self._connect()
            return self._client

    def drop(self, client: Client) -> None:
        """Closes it, so that the next call connects anew. What others have on it is lost, too."""
        if client is self._client:
            self._client = None
            task = asyncio.create_task(_close(client))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        if self._client is not None:
            self.drop(self._client)
        await asyncio.gather(*self._closing)

    async def _connect(self) -> Client:
        client = Client(  # type: ignore[no-untyped-call]  # as its types have it
            self.address,
            asynchronous=True,
            security=self._security,
            timeout=CONNECT_S,
            name=self._name,
            set_as_default=False,
            direct_to_workers=False,
        )
        try:
            await client
            await _check(client)
        except (OSError, ValueError, ImportError) as error:
            await _close(client)
            raise ConnectionLostError(f"the Dask scheduler {self.address}: {_reason(error)}") from error
        except BaseException:
            await _close(client)
            raise
        return client


async def _check(client: Client) -> None:
    """Raises `ConnectionLostError` for a scheduler of other versions: its messages may mean something else."""
    async with asyncio.timeout(CONNECT_S):
        packages = (await client.scheduler.versions())["packages"]  # type: ignore[union-attr]  # it is connected
    own = {name: own_versions()[name] for name in _SPOKEN}
    theirs = {name: str(packages.get(name)).partition(".final")[0] for name in _SPOKEN}
    if told := differences(own, theirs):
        raise ConnectionLostError(f"the Dask scheduler is of another version: {told}")


async def _close(client: Client) -> None:
    with contextlib.suppress(Exception):
        await client.close(timeout=CLOSE_S)  # type: ignore[no-untyped-call]  # as its types have it


def _reason(error: BaseException) -> str:
    """Why it did not answer: the reason is below what the library made of it."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ssl.SSLCertVerificationError) or "certificate" in str(found).lower():
            return f"{_UNTRUSTED}: {found}"
        if isinstance(found, ssl.SSLError):
            return f"{_NO_TLS}: {found}"
        found = found.__cause__ or found.__context__
    return f"no answer within {CONNECT_S} s: {error}"


def log_as_others() -> None:
    """The library brings handlers of its own; its warnings are to be lines of this process's log.

    What it prints of versions that differ is an error here (`_check`).
    """
    warnings.filterwarnings("ignore", category=VersionMismatchWarning)
    for name in ("distributed", "distributed.client", "distributed.core", "bokeh", "tornado"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.WARNING)
        logger.propagate = True
