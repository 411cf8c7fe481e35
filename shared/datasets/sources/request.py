"""A request as a dataset file writes it: texts with placeholders."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from shared.datasets.faults import FaultError
from shared.datasets.fields import Model, Word
from shared.datasets.sources.templates import LongTemplate, Template, TextTemplate, as_json, placeholders_in

HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")]


class GraphQl(Model):
    query: Annotated[str, StringConstraints(min_length=1, max_length=100_000)]
    """Literal: braces are braces. Its variables have the placeholders."""
    variables: dict[str, Template] = Field(default_factory=dict)


class Body(Model):
    """Exactly one of them."""

    json_: Annotated[Template, Field(alias="json")] = None
    form: dict[str, Template] | None = None
    text: LongTemplate | None = None
    graphql: GraphQl | None = None

    @model_validator(mode="after")
    def has_one_form(self) -> Self:
        if sum(form is not None for form in (self.json_, self.form, self.text, self.graphql)) != 1:
            raise FaultError("write exactly one of `json`, `form`, `text` and `graphql`")
        return self


class RequestTemplate(Model):
    method: Literal["GET", "POST", "PUT", "PATCH"] = "GET"
    path: TextTemplate | None = None
    """Behind `base_url`; absent: nothing is added."""
    query: dict[str, Template] = Field(default_factory=dict)
    headers: dict[HeaderName, TextTemplate] = Field(default_factory=dict)
    body: Body | None = None
    keep: Annotated[Word, Field(max_length=20)] | None = None
    """Characters of values in the path and query that are not percent-encoded."""

    @model_validator(mode="after")
    def parts_fit(self) -> Self:
        if self.path is not None and not self.path.startswith(("/", "{")):
            raise FaultError(f"{self.path!r} must start with /", "path")
        if self.body is not None and self.method == "GET":
            raise FaultError("a GET request has no body: write `method: POST`", "body")
        return self

    def texts(self) -> dict[str, Any]:
        """Everything that may hold placeholders."""
        body: Any = None
        if self.body is not None:
            variables = self.body.graphql.variables if self.body.graphql else None
            body = [self.body.json_, self.body.form, self.body.text, variables]
        return {"path": self.path, "query": self.query, "headers": self.headers, "body": body}

    def names(self) -> set[str]:
        """Of its placeholders."""
        return {found.name for found in placeholders_in(as_json(self.texts()))}
