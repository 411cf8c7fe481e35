"""Prometheus and Alertmanager beside the stack, with the rules, alerts and routes of `deploy/observe`."""

import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from deploy.local import debian, probes
from deploy.local.config import Observation, StackConfig
from deploy.local.environment import component_environment
from deploy.local.errors import StackError
from deploy.local.home import PROJECT_ROOT, Home, create_passable, write_private
from deploy.local.managed_process import ProcessSpec
from deploy.local.names import ALERTMANAGER, CDC_SINK, PROMETHEUS
from deploy.local.ports import HOST
from deploy.observe.timescale import scaled

FILES = PROJECT_ROOT / "deploy" / "observe"
SCALE_SETTING = "ONPOINT_LOCAL_OBSERVE_TIME_SCALE"
WEBHOOK_SETTING = "ONPOINT_LOCAL_ALERT_WEBHOOK"
RETENTION = ("--storage.tsdb.retention.time=15d", "--storage.tsdb.retention.size=1GB")
STOP_TIMEOUT_S = 15.0
SHARE = Path("/usr/share")
TEMPLATES = Path("prometheus", "alertmanager")


def choose(environ: Mapping[str, str], report: Callable[[str], None]) -> Observation:
    """What the environment asks for, with the programs, which are fetched if they are not there.

    Raises `StackError` with advice.
    """
    scale, webhook = _scale(environ), environ.get(WEBHOOK_SETTING) or None
    if webhook is not None and urlsplit(webhook).scheme not in {"http", "https"}:
        raise StackError(f"{WEBHOOK_SETTING} is no address that begins with http:// or https://")
    programs = debian.fetch_observers(environ, report)
    return Observation(
        prometheus=programs.prometheus,
        alertmanager=programs.alertmanager,
        time_scale=scale,
        webhook_url=webhook,
    )


def observe_specs(home: Home, config: StackConfig) -> list[ProcessSpec]:
    """Both programs; none where nothing watches the stack."""
    if config.observe is None:
        return []
    return [_alertmanager(home, config, config.observe), _prometheus(home, config, config.observe)]


def _prometheus(home: Home, config: StackConfig, observe: Observation) -> ProcessSpec:
    port, folder = config.ports.prometheus, home.data / PROMETHEUS
    return ProcessSpec(
        name=PROMETHEUS,
        kind="component",
        port=port,
        argv=(
            str(observe.prometheus),
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            *RETENTION,
            f"--web.listen-address={HOST}:{port}",
            *_assets(observe.prometheus),
        ),
        environment=component_environment(PROMETHEUS, home),
        is_ready=partial(probes.http_is_ok, port, "/-/ready"),
        stop_timeout_s=STOP_TIMEOUT_S,
        prepare=partial(_prepare_prometheus, folder, config, observe),
    )


def _alertmanager(home: Home, config: StackConfig, observe: Observation) -> ProcessSpec:
    port, folder = config.ports.alertmanager, home.data / ALERTMANAGER
    return ProcessSpec(
        name=ALERTMANAGER,
        kind="component",
        port=port,
        argv=(
            *_with_its_templates(observe.alertmanager),
            str(observe.alertmanager),
            f"--config.file={folder / 'alertmanager.yaml'}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address={HOST}:{port}",
            # One alone needs no port for others like it.
            "--cluster.listen-address=",
        ),
        environment=component_environment(ALERTMANAGER, home),
        is_ready=partial(probes.http_is_ok, port, "/-/ready"),
        stop_timeout_s=STOP_TIMEOUT_S,
        prepare=partial(_prepare_alertmanager, folder, observe),
    )


async def _prepare_prometheus(folder: Path, config: StackConfig, observe: Observation) -> None:
    create_passable(folder / "rules")
    text = (FILES / "prometheus" / "local.yaml").read_text()
    for name in (ALERTMANAGER, PROMETHEUS):
        text = text.replace(f"@{name}@", f"{HOST}:{config.ports.of(name)}")
    _write(folder / "prometheus.yaml", yaml.safe_load(text), observe)
    for rules in sorted((FILES / "rules").glob("*.yaml")):
        _write(folder / "rules" / rules.name, yaml.safe_load(rules.read_text()), observe)
    write_private(folder / "targets.json", json.dumps(targets(config), indent=2))


def targets(config: StackConfig) -> list[dict[str, Any]]:
    """Every service of the stack, as discovery by file wants it."""
    names = (*config.services, *((CDC_SINK,) if config.connect_plugins else ()))
    return [{"targets": [f"{HOST}:{config.ports.of(name)}"], "labels": {"service": name}} for name in names]


async def _prepare_alertmanager(folder: Path, observe: Observation) -> None:
    create_passable(folder)
    document = yaml.safe_load((FILES / "alertmanager" / "alertmanager.yaml").read_text())
    if observe.webhook_url is not None:
        for receiver in document["receivers"]:
            receiver["webhook_configs"] = [{"url": observe.webhook_url}]
    _write(folder / "alertmanager.yaml", document, observe)


def _write(path: Path, document: Any, observe: Observation) -> None:
    write_private(path, yaml.safe_dump(scaled(document, observe.time_scale), sort_keys=False))


def _assets(program: Path) -> tuple[str, ...]:
    """Debian's Prometheus looks for its pages where the package would have installed them, or where it is told to."""
    unpacked = program.parents[1] / "share" / "prometheus" / "web"
    return (f"--web.local-assets={unpacked}",) if unpacked.is_dir() else ()


def _with_its_templates(program: Path) -> tuple[str, ...]:
    """What comes before the command of Debian's Alertmanager where it is unpacked and not installed.

    It reads templates from /usr/share and cannot be told otherwise: for this process alone, /usr/share is the package's.
    """
    share = program.parents[1] / "share"
    if share == SHARE or not (share / TEMPLATES).is_dir():
        return ()
    as_user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    script = f'mount --bind "$0" {SHARE} && exec "$@"'
    return ("unshare", *as_user, "--mount", "--propagation=private", "--", "sh", "-c", script, str(share))


def _scale(environ: Mapping[str, str]) -> float:
    text = environ.get(SCALE_SETTING) or "1"
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 0 < scale <= 1:
        raise StackError(f"{SCALE_SETTING} is {text!r}: it must be a number above 0 and up to 1")
    return scale
