"""The settings of the Dask cluster: what is refused, and in which words."""

import pytest

from shared.errors import ConfigurationError
from shared.settings.dask import DaskSettings
from shared.settings.model import load_settings

ADDRESS = "ONPOINT_DASK_SCHEDULER_ADDRESS"
TLS = {
    "ONPOINT_DASK_TLS_CA_FILE": "ca.pem",
    "ONPOINT_DASK_TLS_CERT_FILE": "own.pem",
    "ONPOINT_DASK_TLS_KEY_FILE": "own.key",
}


def test_without_an_address_there_is_no_cluster() -> None:
    assert load_settings(DaskSettings, {}).dask_scheduler_address is None


@pytest.mark.parametrize("address", ["tcp://scheduler:8786", "tcp://10.0.0.1:1", "tcp://[::1]:8786"])
def test_an_address_names_a_host_and_a_port(address: str) -> None:
    assert load_settings(DaskSettings, {ADDRESS: address}).dask_scheduler_address == address


@pytest.mark.parametrize(
    "address",
    [
        "scheduler:8786",
        "http://s:8786",
        "tcp://s",
        "tcp://s:0",
        "tcp://u:secret@s:1",
        "tcp://s:1/x",
        "tcp://s:x",
    ],
)
def test_anything_else_is_refused_without_showing_it(address: str) -> None:
    with pytest.raises(ConfigurationError, match="must be an address such as tcp:") as caught:
        load_settings(DaskSettings, {ADDRESS: address})
    assert "secret" not in str(caught.value)


def test_tls_needs_all_three_files_and_nothing_else_takes_them() -> None:
    assert load_settings(DaskSettings, {ADDRESS: "tls://s:1", **TLS}).dask_uses_tls
    for missing in TLS:
        with pytest.raises(ConfigurationError, match=f"{missing}.* must be set where"):
            load_settings(DaskSettings, {ADDRESS: "tls://s:1", **TLS} | {missing: ""})
    with pytest.raises(ConfigurationError, match="and nowhere else"):
        load_settings(DaskSettings, {ADDRESS: "tcp://s:1", **TLS})


@pytest.mark.parametrize(
    ("name", "value"), [("FALLBACK", "never"), ("BATCHES", "0"), ("BATCH_LIMIT_S", "501")]
)
def test_a_value_beyond_its_bounds_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"ONPOINT_DASK_{name}"):
        load_settings(DaskSettings, {f"ONPOINT_DASK_{name}": value})
