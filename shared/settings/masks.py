"""The secret of the masks that hash."""

from typing import Annotated

from pydantic import Field, SecretStr

from shared.settings.model import Settings


class MaskSettings(Settings):
    mask_secret: Annotated[
        SecretStr | None,
        Field(min_length=16, description="secret of the masks that hash; at least 16 characters"),
    ] = None

    def mask_key(self) -> bytes | None:
        return None if self.mask_secret is None else self.mask_secret.get_secret_value().encode()
