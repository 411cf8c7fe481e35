"""The stack's own secrets: random, made at the first start, stored in the home, never in an argument list."""

import json
import secrets

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deploy.local.errors import StackError
from deploy.local.home import Home, write_private

S3_REGION = "us-east-1"
POSTGRES_USER = "onpoint"
POSTGRES_DATABASE = "onpoint"


class Credentials(BaseModel):
    """What a client of the stack signs in with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    postgres_password: str = Field(repr=False)
    s3_access_key: str
    s3_secret_key: str = Field(repr=False)

    @classmethod
    def generate(cls) -> "Credentials":
        return cls(
            postgres_password=secrets.token_urlsafe(24),
            s3_access_key=secrets.token_hex(10).upper(),
            s3_secret_key=secrets.token_urlsafe(30),
        )

    def s3_identities(self) -> str:
        """The object store's own configuration: one identity that may do everything."""
        keys = {"accessKey": self.s3_access_key, "secretKey": self.s3_secret_key}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        return json.dumps({"identities": [{"name": "onpoint", "credentials": [keys], "actions": actions}]})


def load_or_create(home: Home) -> Credentials:
    """The home's secrets; a later start finds the same ones, as the data was made with them.

    Raises `StackError` if they are damaged.
    """
    if home.credentials_file.exists():
        try:
            return Credentials.model_validate_json(home.credentials_file.read_text())
        except ValidationError as error:
            raise StackError(
                f"{home.credentials_file} is damaged: `onpoint down --wipe` starts anew, without the data"
            ) from error
    credentials = Credentials.generate()
    write_private(home.credentials_file, credentials.model_dump_json())
    return credentials
