"""TLS between the processor, the scheduler and its workers: each shows a certificate of one CA."""

from pathlib import Path

from distributed import Security

from shared.errors import ConfigurationError
from shared.settings.dask import DaskSettings
from shared.settings.variables import variable_of


def security_of(settings: DaskSettings) -> Security | None:
    """For any part of the cluster; None: the address is one without TLS.

    Raises `ConfigurationError` where a file cannot be read, or the certificate and its key do not belong together.
    """
    if not settings.dask_uses_tls:
        return None
    ca, cert, key = (
        _readable(field, getattr(settings, field))
        for field in ("dask_tls_ca_file", "dask_tls_cert_file", "dask_tls_key_file")
    )
    security = Security(  # type: ignore[no-untyped-call]  # as its types have it
        require_encryption=True,
        tls_ca_file=ca,
        tls_client_cert=cert,
        tls_client_key=key,
        tls_worker_cert=cert,
        tls_worker_key=key,
    )
    try:
        security.get_connection_args("client")  # type: ignore[no-untyped-call]  # as its types have it
    except OSError as error:
        raise ConfigurationError(f"the TLS files of the Dask cluster cannot be used: {error}") from error
    return security


def _readable(field: str, file: str) -> str:
    try:
        Path(file).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{variable_of(field)}: {file} cannot be read: {error}") from error
    return file
