"""A client of the API server: objects as mappings, answers with their status."""

import http.client
import json
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode

from deploy.local.ports import HOST

Object = Mapping[str, Any]

FIELD_MANAGER: Final = "onpoint-deploy-check"
REQUEST_TIMEOUT_S = 60
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True)
class Access:
    """What a client needs of a cluster."""

    port: int
    ca: Path
    token: str


@dataclass(frozen=True)
class Answer:
    status: int
    body: dict[str, Any]

    @property
    def accepted(self) -> bool:
        return self.status < http.client.BAD_REQUEST

    @property
    def message(self) -> str:
        """Why it was refused."""
        return str(self.body.get("message", ""))


class Api:
    """One connection, which threads share by turns. Raises `OSError` where the server is away."""

    def __init__(self, access: Access) -> None:
        tls = ssl.create_default_context(cafile=str(access.ca))
        # The CA lives for a session and says nothing about what its key is for.
        tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
        self._token = access.token
        self._connection = http.client.HTTPSConnection(
            HOST, access.port, context=tls, timeout=REQUEST_TIMEOUT_S
        )
        self._turn = threading.Lock()
        self._resources: dict[str, dict[str, tuple[str, bool]]] = {}

    def apply(self, wanted: Object, *, dry: bool = False) -> Answer:
        """Server-side apply with strict validation; `dry`: nothing is stored."""
        query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict", "force": "true"}
        if dry:
            query["dryRun"] = "All"
        return self.ask("PATCH", f"{self.path_of(wanted)}?{urlencode(query)}", wanted, APPLY)

    def read(self, path: str) -> dict[str, Any]:
        """An object or list that must be there."""
        answer = self.ask("GET", path)
        assert answer.accepted, f"{path}: {answer.message}"
        return answer.body

    def items(self, path: str, **labels: str) -> list[dict[str, Any]]:
        """A list's objects, of those labels if any are named."""
        selector = ",".join(f"{key.replace('__', '/')}={value}" for key, value in labels.items())
        found = self.read(f"{path}?{urlencode({'labelSelector': selector})}" if selector else path)
        return list(found["items"])

    def merge(self, path: str, change: Object) -> dict[str, Any]:
        """Changes what is named in an object, and leaves the rest."""
        answer = self.ask("PATCH", path, change, MERGE)
        assert answer.accepted, f"{path}: {answer.message}"
        return answer.body

    def path_of(self, wanted: Object) -> str:
        """The object's place by its kind, namespace and name. Raises `KeyError` for a kind that is not served."""
        name, namespaced = self._served(wanted["apiVersion"])[wanted["kind"]]
        metadata = wanted["metadata"]
        place = f"/namespaces/{metadata.get('namespace', 'default')}" if namespaced else ""
        return f"{group_path(wanted['apiVersion'])}{place}/{name}/{quote(metadata['name'], safe='')}"

    def ask(
        self,
        method: Literal["GET", "POST", "PATCH", "DELETE"],
        path: str,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> Answer:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type}
        with self._turn:
            try:
                self._connection.request(
                    method, path, json.dumps(body) if body is not None else None, headers
                )
                answer = self._connection.getresponse()
                return Answer(answer.status, _parsed(answer.read()))
            except http.client.HTTPException as error:
                self._connection.close()
                raise OSError(f"the API server hung up: {error!r}") from error
            except OSError:
                self._connection.close()
                raise

    def close(self) -> None:
        """The next question opens it anew."""
        with self._turn:
            self._connection.close()

    def _served(self, version: str) -> dict[str, tuple[str, bool]]:
        """The kinds of a group's version, with the name in paths and whether they are namespaced."""
        if version not in self._resources:
            found = self.read(group_path(version))["resources"]
            self._resources[version] = {
                resource["kind"]: (resource["name"], resource["namespaced"])
                for resource in found
                if "/" not in resource["name"]
            }
        return self._resources[version]


def group_path(version: str) -> str:
    """`/api/v1`, or `/apis/<group>/<version>`."""
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


def described(wanted: Object) -> str:
    """Kind, namespace and name, as people name an object."""
    metadata = wanted["metadata"]
    place = f"{metadata['namespace']}/" if "namespace" in metadata else ""
    return f"{wanted['kind']} {place}{metadata['name']}"


def of_kind(objects: Sequence[Object], *kinds: str) -> Iterator[Object]:
    return (found for found in objects if found["kind"] in kinds)


def _parsed(text: bytes) -> dict[str, Any]:
    """The server answers some refusals, and its readiness, in plain text."""
    try:
        found = json.loads(text)
    except ValueError:
        return {"message": text.decode(errors="replace")}
    return found if isinstance(found, dict) else {"message": text.decode()}
