"""The source of a dataset: requests to an API, made of texts with placeholders."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from shared.datasets.faults import FaultError
from shared.datasets.fields import MAX_TEXT_CHARS, Model, Name
from shared.datasets.sources.auth import Auth, LoginAuth, OAuth2Auth, Send
from shared.datasets.sources.each import Each, EachNumber, EachParent, EachValue
from shared.datasets.sources.formats import Format, FormatOption
from shared.datasets.sources.incremental import Incremental
from shared.datasets.sources.limits import Limits, Param
from shared.datasets.sources.pagination import Cursors, NoPages, Offsets, PageNumbers, Pages
from shared.datasets.sources.records import RecordPlace
from shared.datasets.sources.request import HeaderName, RequestTemplate
from shared.datasets.sources.responses import ResponseRule
from shared.datasets.sources.secret_names import SecretRef
from shared.datasets.sources.templates import Placeholder, TextTemplate, as_tuple, placeholders_in

NOT_BUILT: Mapping[str, str] = {
    "job": "jobs that are created, polled and fetched",
    "client": "files of clients",
    "unpack": "packed answers",
}
"""Keys of a source that this version does not know yet, and what they are for."""

_URL = re.compile(r"https?://[^/?#\s]+(?:/[^?#\s]*)?")
_HOST = re.compile(r"[a-z0-9.-]{1,253}(?::[0-9]{1,5})?")
_FREE = frozenset({"now", "columns", "size"})
"""Placeholders that always have a value, or need no feeding."""


def _base_url(text: str) -> str:
    filled = re.sub(r"\{[^{}]*\}", "x", text)
    if not _URL.fullmatch(filled):
        raise FaultError(f"{text!r} is not an address: one such as https://api.example.org/v1 is expected")
    if "@" in filled.partition("//")[2].partition("/")[0]:
        raise FaultError("an address has no user and password here: write `auth`")
    if len(text) > MAX_TEXT_CHARS:
        raise FaultError("it is too long")
    return text.rstrip("/")


BaseUrl = Annotated[TextTemplate, AfterValidator(_base_url)]


class RequestSource(Model):
    """A source whose file writes the request itself."""

    name: Name
    """Sources of one name share their limits and the environment's replacements."""
    kind: Literal["api"]
    base_url: BaseUrl
    headers: dict[HeaderName, TextTemplate] = Field(default_factory=dict)
    auth: Annotated[tuple[Auth, ...], BeforeValidator(as_tuple), Field(min_length=1, max_length=4)] = ()
    """Of several, all are sent."""
    limits: Limits = Limits()
    params: Annotated[dict[Name, Param], Field(max_length=100)] = Field(default_factory=dict)
    secrets: Annotated[dict[Name, SecretRef], Field(max_length=20)] = Field(default_factory=dict)
    """`{secret.<name>}` in headers, query and body."""
    hosts: Annotated[tuple[Annotated[str, Field(pattern=_HOST.pattern)], ...], Field(max_length=20)] = ()
    """Other hosts that a next URL may lead to; no credentials go there."""
    request: RequestTemplate
    pagination: Pages = NoPages()
    records: RecordPlace = RecordPlace()
    for_each: Annotated[tuple[Each, ...], Field(max_length=8)] = ()
    incremental: Incremental | None = None
    responses: Annotated[tuple[ResponseRule, ...], Field(max_length=50)] = ()
    format: FormatOption = Format(kind="json")

    @model_validator(mode="before")
    @classmethod
    def names_what_is_not_built(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            for key, what in NOT_BUILT.items():
                if key in value:
                    raise FaultError(f"`{key}` is not supported in this version ({what})", key)
            pages = value.get("pagination")
            if isinstance(pages, Mapping) and pages.get("kind") == "ids":
                raise FaultError(
                    "`kind: ids` is of sources without a `request`: make the list a dataset, and name it as `parent` in "
                    "`for_each`",
                    "pagination",
                    "kind",
                )
        return value

    def __hash__(self) -> int:
        """Datasets are keys of caches, and the mappings of a source cannot be hashed."""
        return hash((self.name, self.base_url, self.path, self.pagination.kind))

    @property
    def requests_per_second(self) -> float:
        return self.limits.requests_per_second

    @property
    def concurrency(self) -> int:
        return self.limits.concurrency

    @property
    def path(self) -> str:
        return self.request.path or ""

    @property
    def parents(self) -> tuple[EachParent, ...]:
        return tuple(each for each in self.for_each if isinstance(each, EachParent))

    def names(self) -> set[str]:
        """Of the placeholders of every request to this source's records."""
        return self.request.names() | {found.name for found in placeholders_in(self.headers)}

    @model_validator(mode="after")
    def pages_reach_the_request(self) -> Self:
        used = self.request.names()
        for options, name in ((PageNumbers, "page"), (Offsets, "offset"), (Cursors, "cursor")):
            if isinstance(self.pagination, options) and name not in used:
                raise FaultError(
                    f"{{{name}}} is nowhere in the request: the next page would be this one", "request"
                )
        return self

    @model_validator(mode="after")
    def placeholders_are_fed(self) -> Self:
        for found, at in self._placeholders():
            self._check(found, at)
        return self

    def _placeholders(self) -> Iterator[tuple[Placeholder, tuple[str | int, ...]]]:
        for name, value in self.request.texts().items():
            for found in placeholders_in(value):
                yield found, ("request", name)
        for found in placeholders_in(self.headers):
            yield found, ("headers",)
        for found in placeholders_in(self.base_url):
            if found.root != "param":
                raise FaultError(
                    f"{{{found.name}}} cannot be in the address: only parameters can", "base_url"
                )
            yield found, ("base_url",)
        yield from self._in_units()
        yield from self._in_credentials()

    def _in_units(self) -> Iterator[tuple[Placeholder, tuple[str | int, ...]]]:
        for place, each in enumerate(self.for_each):
            if isinstance(each, EachValue) and isinstance(each.values, str):
                yield from ((found, ("for_each", place)) for found in placeholders_in(each.values))
            if isinstance(each, EachNumber) and each.last_from is not None:
                for found in placeholders_in(each.last_from.texts()):
                    if found.root not in {"param", "secret", "now"}:
                        raise FaultError(
                            f"{{{found.name}}} has no value while the run is planned", "for_each", place
                        )
                    yield found, ("for_each", place)

    def _in_credentials(self) -> Iterator[tuple[Placeholder, tuple[str | int, ...]]]:
        for auth in self.auth:
            for found in placeholders_in(list(_texts_of(auth))):
                if found.root not in {"param", "secret", "token", "now"}:
                    raise FaultError(f"{{{found.name}}} has no value while credentials are made", "auth")
                yield found, ("auth",)

    def _check(self, found: Placeholder, at: tuple[str | int, ...]) -> None:
        match found.root:
            case "secret":
                if "path" in at or at == ("base_url",):
                    raise FaultError("a secret cannot be in an address, which is logged: write `auth`", *at)
                self._known(found, self.secrets, "secrets", at)
            case "param":
                self._known(found, self.params, "params", at)
            case "each":
                names = {each.name for each in self.for_each if not isinstance(each, EachParent)}
                self._known(found, names, "for_each", at)
            case "parent":
                self._known(found, {name for each in self.parents for name in each.fields}, "for_each", at)
            case "window" | "since" if self.incremental is None:
                raise FaultError(f"{{{found.name}}} has no value: there is no `incremental`", *at)
            case "token" if at[0] != "auth":
                raise FaultError("{token} is only for `auth`: how the credential is sent", *at)
            case "page" | "offset" | "cursor" | "size":
                self._check_page_value(found, at)

    def _check_page_value(self, found: Placeholder, at: tuple[str | int, ...]) -> None:
        kinds = {"page": "page", "offset": "offset", "cursor": "cursor"}
        if found.root == "size":
            if getattr(self.pagination, "size", None) is None:
                raise FaultError("{size} has no value: write `size` in `pagination`", *at)
        elif found.root == "cursor" and self.incremental is not None and self.incremental.token is not None:
            return
        elif self.pagination.kind != kinds[found.root]:
            raise FaultError(
                f"{{{found.root}}} has no value: `pagination` is of kind {self.pagination.kind}", *at
            )

    @staticmethod
    def _known(found: Placeholder, names: Any, field: str, at: tuple[str | int, ...]) -> None:
        if found.rest not in names:
            there = f": there are {', '.join(sorted(names))}" if names else ""
            raise FaultError(f"{{{found.name}}} is not named in `{field}`{there}", *at)


def _texts_of(auth: Any) -> Iterator[Any]:
    send = getattr(auth, "send", None)
    if isinstance(send, Send):
        if "{token}" not in send.value:
            raise FaultError("`value` holds no {token}: the credential would not be sent", "auth", "send")
        yield send.value
    if isinstance(auth, OAuth2Auth):
        yield from (auth.token_url, auth.params, auth.headers)
        yield [text for text in (auth.client_id, auth.username) if isinstance(text, str)]
    if isinstance(auth, LoginAuth):
        yield auth.request.texts()
    if isinstance(getattr(auth, "username", None), str):
        yield auth.username
