"""A real S3 server behind the policies of the plan: each service account has an address, and gets what its policy allows.

SeaweedFS knows no policies of IAM, and AWS is not at hand: the decision is made here, by `tests.terraform.rights`.
"""

import io
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Self
from urllib.parse import unquote

import aiohttp
from aiohttp import web
from yarl import URL

from tests.terraform.rights import allows

LARGEST_BODY = 64 * 2**20
DENIED = '<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code><Message>by its policy</Message></Error>'

OF_KEYS = {
    "GET": ("s3:ListMultipartUploadParts", "s3:GetObject"),
    "HEAD": ("s3:GetObject", "s3:GetObject"),
    "PUT": ("s3:PutObject", "s3:PutObject"),
    "POST": ("s3:PutObject", "s3:PutObject"),
    "DELETE": ("s3:AbortMultipartUpload", "s3:DeleteObject"),
}
"""By method: the action for a key, in an unfinished upload and else."""

Handler = Callable[[web.Request], Awaitable[web.Response]]

Call = tuple[str, str]
"""An action of IAM and the ARN that it is for."""


class GuardedStore:
    """`arns`: of each bucket of the server, what it is in the policies."""

    def __init__(
        self, upstream: str, arns: Mapping[str, str], policies: Mapping[str, list[Mapping[str, Any]]]
    ) -> None:
        self._upstream = upstream
        self._arns = arns
        self.policies = policies
        self._runners: list[web.AppRunner] = []
        self._client: aiohttp.ClientSession | None = None
        self.urls: dict[str, str] = {}
        self.used: dict[str, set[Call]] = defaultdict(set)
        """By account, what was asked for and allowed."""
        self.denied: dict[str, set[Call]] = defaultdict(set)

    async def __aenter__(self) -> Self:
        self._client = aiohttp.ClientSession(auto_decompress=False)
        for account in self.policies:
            app = web.Application(client_max_size=LARGEST_BODY)
            app.router.add_route("*", "/{tail:.*}", self._handler_of(account))
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self._runners.append(runner)
            self.urls[account] = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        for runner in self._runners:
            await runner.cleanup()
        if self._client is not None:
            await self._client.close()

    def _handler_of(self, account: str) -> Handler:
        async def answer(request: web.Request) -> web.Response:
            return await self._answer(account, request)

        return answer

    async def _answer(self, account: str, request: web.Request) -> web.Response:
        body = await request.read()
        calls = [(action, self._arn(path)) for action, path in calls_of(request, body)]
        if not self._allowed(account, calls):
            return web.Response(status=403, text=DENIED, content_type="application/xml")
        status, headers, answer = await self._forward(request, body)
        if (
            status == 404
            and request.method in {"GET", "HEAD"}
            and not self._allowed(account, [self._names(calls)])
        ):
            # As S3: what is not there is told to those alone who may list.
            return web.Response(status=403, text=DENIED, content_type="application/xml")
        return web.Response(status=status, headers=headers, body=answer)

    def _allowed(self, account: str, calls: Iterable[Call]) -> bool:
        for call in calls:
            if not allows(self.policies[account], *call):
                self.denied[account].add(call)
                return False
            self.used[account].add(call)
        return True

    def _arn(self, path: str) -> str:
        bucket, slash, key = path.partition("/")
        return f"{self._arns.get(bucket, bucket)}{slash if key else ''}{key}"

    def _names(self, calls: list[Call]) -> Call:
        return ("s3:ListBucket", calls[0][1].partition("/")[0])

    async def _forward(self, request: web.Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        # The signature covers the host as the client named it, so it goes on unchanged.
        headers = {k: v for k, v in request.headers.items() if k.lower() != "transfer-encoding"}
        target = URL(self._upstream + request.raw_path, encoded=True)
        assert self._client is not None
        async with self._client.request(
            request.method, target, headers=headers, data=io.BytesIO(body), allow_redirects=False
        ) as answer:
            passed = {
                k: v
                for k, v in answer.headers.items()
                if k.lower() not in {"transfer-encoding", "content-length", "connection"}
            }
            if request.method == "HEAD" and "Content-Length" in answer.headers:
                passed["Content-Length"] = answer.headers["Content-Length"]
            return answer.status, passed, await answer.read()


def calls_of(request: web.Request, body: bytes) -> list[tuple[str, str]]:
    """The actions of IAM that a request of S3 needs, each with bucket and key. Path style."""
    path, query = unquote(request.raw_path.partition("?")[0]).strip("/"), request.query
    bucket, _, key = path.partition("/")
    if not key:
        if request.method == "POST" and "delete" in query:
            keys = re.findall(rb"<Key>(.*?)</Key>", body)
            return [("s3:DeleteObject", f"{bucket}/{found.decode()}") for found in keys]
        return [("s3:ListBucketMultipartUploads" if "uploads" in query else "s3:ListBucket", bucket)]
    of_upload, of_object = OF_KEYS[request.method]
    found = [(of_upload if "uploadId" in query else of_object, path)]
    if copied := request.headers.get("x-amz-copy-source"):
        found.append(("s3:GetObject", unquote(copied).lstrip("/")))
    return found
