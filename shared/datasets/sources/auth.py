"""How requests are authenticated: one class for each kind."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shared.datasets.faults import FaultError
from shared.datasets.fields import ClientErrorStatus, Model, Word
from shared.datasets.sources.durations import Duration
from shared.datasets.sources.json_paths import PathText
from shared.datasets.sources.request import RequestTemplate
from shared.datasets.sources.secret_names import SecretRef
from shared.datasets.sources.templates import Template, TextTemplate


class Send(Model):
    """Where the credential goes."""

    place: Annotated[Literal["header", "query", "cookie"], Field(alias="in")] = "header"
    name: Word = "Authorization"
    value: TextTemplate = "Bearer {token}"
    """Holds `{token}`."""


class NoAuth(Model):
    kind: Literal["none"]


class BasicAuth(Model):
    kind: Literal["basic"]
    username: SecretRef | TextTemplate = ""
    password: SecretRef | None = None


class BearerAuth(Model):
    kind: Literal["bearer"]
    token: SecretRef


class ApiKeyAuth(Model):
    kind: Literal["api_key"]
    key: SecretRef
    send: Send


class OAuth2Auth(Model):
    kind: Literal["oauth2"]
    token_url: TextTemplate
    grant: Annotated[Word, Field(examples=["client_credentials"])] = "client_credentials"
    client_id: SecretRef | TextTemplate | None = None
    client_secret: SecretRef | None = None
    refresh_token: SecretRef | None = None
    username: SecretRef | TextTemplate | None = None
    password: SecretRef | None = None
    scopes: tuple[Word, ...] = ()
    client_in: Literal["body", "basic", "query", "json"] = "body"
    """How the client's id and secret are sent; `json`: all of the request is."""
    params: dict[Word, Template] = Field(default_factory=dict)
    """More fields of the request for a token."""
    headers: dict[Word, TextTemplate] = Field(default_factory=dict)
    token: PathText = "access_token"  # noqa: S105 - a path
    expires_in: PathText = "expires_in"
    lifetime: Duration | None = None
    """Where the answer does not tell how long the token lives."""
    send: Send = Send()

    @model_validator(mode="after")
    def grant_has_what_it_needs(self) -> Self:
        needed = {"refresh_token": ("refresh_token",), "password": ("username", "password")}.get(
            self.grant, ()
        )
        for name in needed:
            if getattr(self, name) is None:
                raise FaultError(f"`{name}` is missing: the grant {self.grant} needs it")
        return self


class LoginAuth(Model):
    kind: Literal["login"]
    request: RequestTemplate
    token: PathText | None = None
    token_header: Word | None = None
    token_cookie: Word | None = None
    lifetime: Duration | None = None
    again_on: Annotated[tuple[ClientErrorStatus, ...], Field(max_length=8, examples=["[401]"])] = (401,)
    send: Send = Send()

    @model_validator(mode="after")
    def token_is_somewhere(self) -> Self:
        if sum(place is not None for place in (self.token, self.token_header, self.token_cookie)) != 1:
            raise FaultError(
                "write one of `token`, `token_header` and `token_cookie`: where the answer has the token"
            )
        return self


Auth = Annotated[
    NoAuth | BasicAuth | BearerAuth | ApiKeyAuth | OAuth2Auth | LoginAuth,
    Field(discriminator="kind"),
]
