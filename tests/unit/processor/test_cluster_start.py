"""The processor's start with a Dask cluster in its settings."""

from pathlib import Path

from tests.support.lone_service import ROOT, LoneService


async def test_dask_that_is_not_installed_is_told_where_a_cluster_is_set(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['distributed'] = None\n")
    settings = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "ONPOINT_DASK_SCHEDULER_ADDRESS": "tcp://127.0.0.1:1"}
    with LoneService("processor", tmp_path / "log", **settings) as service:
        assert await service.exited() == 2
        assert "Dask is not installed here" in service.log()


async def test_tls_files_that_cannot_be_used_are_told_at_start(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    settings = {f"ONPOINT_DASK_TLS_{name}_FILE": str(empty) for name in ("CA", "CERT", "KEY")}
    with LoneService(
        "processor", tmp_path / "log", ONPOINT_DASK_SCHEDULER_ADDRESS="tls://127.0.0.1:1", **settings
    ) as service:
        assert await service.exited() == 2
        assert "the TLS files of the Dask cluster cannot be used" in service.log()
