"""The custom resources that the manifests use, as their operators define them: fetched once for all clones."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from deploy.local.fetch import fetch_once
from deploy.local.tools import find_maven
from tests.deploy.cluster.programs import PLACE, BuildError, cluster_cache, go
from tests.deploy.environment import java_of_environment

STRIMZI_POM = PLACE / "strimzi" / "pom.xml"
STRIMZI_KINDS: Final = {
    "Kafka": "kafka",
    "KafkaNodePool": "nodepool",
    "KafkaTopic": "topic",
    "KafkaUser": "user",
    "KafkaConnect": "connect",
    "KafkaConnector": "connector",
}
"""Each kind with the package of its class."""


@dataclass(frozen=True)
class GoModule:
    """An operator's source, in which its definitions are committed."""

    path: str
    version: str
    sum: str
    """As the module's own go.sum would have it: another archive is refused."""
    definitions: str
    """Which of its files are definitions."""


OPERATORS: Final = (
    GoModule(
        "github.com/kedacore/keda/v2",
        "v2.21.0",
        "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=",
        "config/crd/bases/keda.sh_*.yaml",
    ),
    GoModule(
        "github.com/prometheus-operator/prometheus-operator",
        "v0.85.0",
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        "example/prometheus-operator-crd/monitoring.coreos.com_*.yaml",
    ),
    GoModule(
        "github.com/external-secrets/external-secrets",
        "v1.3.2",
        "h1:u2J8RjlHIeF0oZCqtl92adI/uZWUwOesJIDkfql6LqQ=",
        "config/crds/bases/external-secrets.io_*.yaml",
    ),
)


def definitions(environ: Mapping[str, str], report: Callable[[str], None]) -> Path:
    """The folder of all definitions, one file each. Raises `BuildError`; the first call takes a minute."""
    digest = hashlib.sha256(repr((OPERATORS, STRIMZI_KINDS)).encode() + STRIMZI_POM.read_bytes())
    target = cluster_cache(environ) / f"definitions-{digest.hexdigest()[:12]}"

    def fill(folder: Path) -> None:
        report("fetching the definitions of KEDA, Prometheus, External Secrets and Strimzi (once)")
        for operator in OPERATORS:
            for path in _of_module(operator, environ):
                shutil.copyfile(path, folder / path.name)
        _write_strimzi(folder, environ)

    fetch_once(target, fill, print)
    return target


def read_definitions(folder: Path) -> Iterator[dict[str, Any]]:
    """Every CustomResourceDefinition of the folder."""
    for path in sorted(folder.glob("*.yaml")):
        for document in yaml.load_all(path.read_text(), Loader=_Loader):
            if document and document.get("kind") == "CustomResourceDefinition":
                yield document


def _of_module(module: GoModule, environ: Mapping[str, str]) -> Iterable[Path]:
    found = json.loads(go(environ, PLACE, "mod", "download", "-json", f"{module.path}@{module.version}"))
    if found["Sum"] != module.sum:
        raise BuildError(
            f"{module.path} {module.version} is not the archive that this project was tested with"
        )
    paths = sorted(Path(found["Dir"]).glob(module.definitions))
    if not paths:
        raise BuildError(f"{module.path} {module.version} has no {module.definitions}")
    return paths


def _write_strimzi(folder: Path, environ: Mapping[str, str]) -> None:
    """Strimzi publishes no files: its generator writes them from the classes of its API."""
    jars = folder / "jars"
    _run(
        (
            str(find_maven(environ)), "--batch-mode", "--quiet", f"--file={STRIMZI_POM}",
            "dependency:copy-dependencies", f"-DoutputDirectory={jars}",
        ),
        environ,
    )  # fmt: skip
    wanted = [
        f"io.strimzi.api.kafka.model.{package}.{kind}={folder / f'strimzi-{kind.lower()}.yaml'}"
        for kind, package in STRIMZI_KINDS.items()
    ]
    generator = "io.strimzi.crdgenerator.CrdGenerator"
    _run((str(java_of_environment()), "-cp", f"{jars}/*", generator, "--yaml", *wanted), environ)
    shutil.rmtree(jars)


def _run(command: tuple[str, ...], environ: Mapping[str, str]) -> None:
    done = subprocess.run(
        command, env=dict(environ), capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode != 0:
        raise BuildError(f"{Path(command[0]).name} failed:\n{(done.stdout + done.stderr)[-2_000:]}")


class _Loader(yaml.CSafeLoader):
    """Reads a bare `=` as a text: the Prometheus operator's matchers have it in an enumeration."""


_Loader.add_constructor("tag:yaml.org,2002:value", lambda _, node: str(node.value))
