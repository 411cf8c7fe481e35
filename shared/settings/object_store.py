"""Where the buckets are, and who may use them."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, field_validator

from shared.settings.model import Settings


def check_endpoint(url: str) -> str:
    """Raises `ValueError` for what is not an address: the driver would end in a panic."""
    if not url.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0 and not re.search(r"[\s<>\"{}|\\^`]", url)
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment:
        raise ValueError("must be an address such as https://s3.example.org:9000")
    return url


def _bucket_name(name: str) -> str:
    if not _BUCKET.fullmatch(name):
        raise ValueError("must be letters, digits, dots, hyphens and underscores")
    return name


_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

Endpoint = Annotated[str, AfterValidator(check_endpoint)]
Bucket = Annotated[str, StringConstraints(min_length=3, max_length=63), AfterValidator(_bucket_name)]


class ObjectStoreSettings(Settings):
    """Credentials come by the standard chain (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, or a role), or,
    where a secret is a file, as one setting: a key id and its secret are never of two ages.
    """

    s3_endpoint_url: Annotated[Endpoint | None, Field(description="URL of the S3 server; absent: AWS")] = None
    staging_bucket: Annotated[Bucket, Field(description="bucket of batches in flight")]
    lake_bucket: Annotated[Bucket, Field(description="bucket of the data lake")]
    s3_credentials: Annotated[
        SecretStr | None,
        Field(description="access key id:secret access key; absent: AWS_* variables or a role"),
    ] = None

    @field_validator("s3_credentials")
    @classmethod
    def _is_a_pair(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not all(value.get_secret_value().partition(":")):
            raise ValueError("must be two keys with a colon between")
        return value

    def s3_keys(self) -> tuple[str, str] | None:
        """Access key id and secret access key; None: by the standard chain."""
        if self.s3_credentials is None:
            return None
        key_id, _, secret = self.s3_credentials.get_secret_value().partition(":")
        return key_id, secret
