"""Where the buckets are, and who may use them."""

from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from shared.settings.model import Settings


class ObjectStoreSettings(Settings):
    """Credentials come by the standard chain (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, or a role), or,
    where a secret is a file, as one setting: a key id and its secret are never of two ages.
    """

    s3_endpoint_url: Annotated[str | None, Field(description="URL of the S3 server; absent: AWS")] = None
    staging_bucket: Annotated[
        str, Field(min_length=3, max_length=63, description="bucket of batches in flight")
    ]
    lake_bucket: Annotated[str, Field(min_length=3, max_length=63, description="bucket of the data lake")]
    s3_credentials: Annotated[
        SecretStr | None,
        Field(description="access key id:secret access key; absent: AWS_* variables or a role"),
    ] = None

    @field_validator("s3_credentials")
    @classmethod
    def _is_a_pair(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not all(value.get_secret_value().partition(":")):
            raise ValueError("should be two keys with a colon between")
        return value

    def s3_keys(self) -> tuple[str, str] | None:
        """Access key id and secret access key; None: by the standard chain."""
        if self.s3_credentials is None:
            return None
        key_id, _, secret = self.s3_credentials.get_secret_value().partition(":")
        return key_id, secret
