"""`.env.example` lists every setting with its meaning and default.

`python -m tests.contract.test_env_example` writes it anew.
"""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from deploy.local.environment import MARK
from deploy.local.ports import Ports, setting_of
from services.converter.settings import ConverterSettings
from services.crawler.settings import CrawlSettings
from services.loader.settings import LoaderSettings
from services.processor.settings import DaskWorkerSettings, ProcessorSettings, TransformSettings
from services.quality.lineage.settings import LineageSettings
from services.quality.settings import CloudWatchSettings, KafkaWatchSettings
from services.s3sink.cdc.settings import CdcSettings
from services.s3sink.settings import SinkSettings
from shared.health.settings import HealthSettings
from shared.lake.settings import LakeSettings
from shared.lake.tables.settings import TableSettings
from shared.news.settings import NewsSettings
from shared.settings.cdc import ConnectSettings
from shared.settings.dask import DaskSettings
from shared.settings.datasets import DatasetSettings
from shared.settings.kafka import KafkaSettings
from shared.settings.masks import MaskSettings
from shared.settings.model import Settings
from shared.settings.object_store import ObjectStoreSettings
from shared.settings.postgres import PostgresSettings
from shared.settings.process import ProcessSettings
from shared.settings.variables import PREFIX
from shared.sweep.settings import SweepSettings

ROOT = Path(__file__).parents[2]
FILE = ROOT / ".env.example"

SECTIONS: dict[str, tuple[type[Settings], ...]] = {
    "Where things are (`onpoint env` prints these for the local stack)": (
        KafkaSettings,
        PostgresSettings,
        ObjectStoreSettings,
    ),
    "Datasets": (DatasetSettings,),
    "Every service": (ProcessSettings,),
    "crawler": (CrawlSettings,),
    "processor": (ProcessorSettings, TransformSettings, MaskSettings),
    "A Dask cluster for the processor's batches, and its workers (docs/dask.md)": (
        DaskSettings,
        DaskWorkerSettings,
    ),
    "converter": (ConverterSettings,),
    "loader": (LoaderSettings,),
    "s3sink": (SinkSettings,),
    "Change capture (docs/cdc.md)": (ConnectSettings, CdcSettings),
    "quality": (KafkaWatchSettings, CloudWatchSettings),
    "Lineage (docs/lineage.md)": (LineageSettings,),
    "quality, and `onpoint sweep`": (SweepSettings,),
    "quality, and `onpoint news` (docs/news.md)": (NewsSettings,),
    "quality, and `onpoint health` (docs/health.md)": (HealthSettings,),
    "quality, `onpoint lake` and `onpoint sweep`": (LakeSettings,),
    "s3sink, quality, `onpoint lake` and `onpoint verify`: tables of Iceberg (docs/lake.md)": (
        TableSettings,
    ),
}

HEAD = """\
# Every setting of OnPoint: the services, `onpoint`, the local stack, the containers, Airflow's notices. A line that is
# commented out shows its default (nothing: there is none); the others must be set. A wrong value stops a service at start.
# A secret can be a file instead, ONPOINT_POSTGRES_DSN_FILE=/run/secrets/dsn.
# The lines are for a shell and for Docker Compose; `docker run --env-file` would take the quotes for a part of the value.
"""

AWS = """\

# --- S3 credentials where ONPOINT_S3_CREDENTIALS is absent
# key and secret; absent: a role
# AWS_ACCESS_KEY_ID=
# AWS_SECRET_ACCESS_KEY=
# region of the buckets
# AWS_REGION=us-east-1
"""

TRACES = """\

# --- Traces: some of the variables of OpenTelemetry (docs/traces.md)
# address of a collector that takes protobuf over HTTP; absent: no traces
# OTEL_EXPORTER_OTLP_ENDPOINT=
# which traces are sent, and the share of a ratio
# OTEL_TRACES_SAMPLER=parentbased_always_on
# OTEL_TRACES_SAMPLER_ARG=
"""

SOURCES = """\

# --- Sources: replace a dataset file's settings, by the source's name (JSONPLACEHOLDER, HACKERNEWS, ...)
# address of the API
# ONPOINT_SOURCE_JSONPLACEHOLDER_URL=https://jsonplaceholder.typicode.com
# requests a second; 0: no limit
# ONPOINT_SOURCE_JSONPLACEHOLDER_REQUESTS_PER_SECOND=10
# requests at once
# ONPOINT_SOURCE_JSONPLACEHOLDER_CONCURRENCY=5
# records asked for in a page
# ONPOINT_SOURCE_JSONPLACEHOLDER_PAGE_SIZE=100
"""

CONSOLE = """\

# --- `onpoint`
# anything: an error shows where it comes from, and libraries log
# ONPOINT_DEBUG=
"""

LOCAL = """\

# --- The local stack (`onpoint up`)
# folder of its data, logs and secrets; absent: .onpoint in the checkout, of an installed package ~/.local/share/onpoint
# ONPOINT_HOME=
# folder of the downloaded programs; absent: .onpoint/components in the checkout, else ~/.cache/onpoint/components
# ONPOINT_COMPONENTS_DIR=
# seconds without an answer of /livez until a service that was ready is restarted
# ONPOINT_LOCAL_HANG_S=60
# major version of PostgreSQL: 15, 16, 17 or 18; a home keeps the one that it began with
# ONPOINT_LOCAL_POSTGRES_VERSION=18
# of --observe: where Alertmanager sends every page and ticket; absent: they are only shown
# ONPOINT_LOCAL_ALERT_WEBHOOK=
# of --observe: by which every time of rules, scrapes and routes is multiplied, 0 to 1
# ONPOINT_LOCAL_OBSERVE_TIME_SCALE=1
# free: take free ports and remember them; default: those below; absent: free where they are remembered, else default
# ONPOINT_PORTS=
# ports of the components and of the services' /livez, /readyz and /metrics
"""

COMPOSE = """\

# --- The containers: variables of docker-compose.yml, from the shell or from .env, not from compose.env
"""

COMPOSE_MEANINGS = {
    "ONPOINT_VERSION": "version of the images",
    "ONPOINT_REVISION": "revision that the image's label names",
    "ONPOINT_COMPOSE_ENV": "file of further settings of the services",
    "ONPOINT_COMPOSE_SECRETS": "folder of the secrets; from the shell, as the program that makes them reads no .env",
    "ONPOINT_COMPOSE_KAFKA_CPUS": "cores that Kafka may use",
    "ONPOINT_COMPOSE_ALERTMANAGER": "configuration of Alertmanager, with channels of your own (docs/observe.md)",
    "ONPOINT_COMPOSE_PORT_": "port on 127.0.0.1",
}
"""By the variable's name, or by how it begins."""

AIRFLOW = """\

# --- Airflow's notices (docs/deploy/airflow.md)
# a connection of type slackwebhook
# ONPOINT_NOTIFY_SLACK_CONN_ID=
# addresses, separated by commas, through the connection smtp_default
# ONPOINT_NOTIFY_EMAIL=
# the sender; absent: the one that smtp_default names
# ONPOINT_NOTIFY_EMAIL_FROM=
"""


def line_of(name: str, field: FieldInfo) -> str:
    variable = PREFIX + name.upper()
    default: Any = field.default
    meaning = f"# {field.description}"
    if default is PydanticUndefined:
        secret = " (or its _FILE)" if field.annotation is SecretStr else ""
        return f"{meaning}{secret}\n{variable}="
    return f"{meaning}\n# {variable}={shlex.quote(str(default)) if default not in (None, '') else ''}"


def of_the_services() -> str:
    parts = []
    for title, models in SECTIONS.items():
        parts.append(f"\n# --- {title}\n")
        parts += [
            line_of(name, field) + "\n" for model in models for name, field in model.model_fields.items()
        ]
    return "".join(parts)


def of_the_ports() -> str:
    return "".join(f"# {setting_of(name)}={port}\n" for name, port in Ports().model_dump().items())


def of_the_containers() -> str:
    text = (ROOT / "docker-compose.yml").read_text()
    defaults = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", text))
    lines = []
    for begins, meaning in COMPOSE_MEANINGS.items():
        named = [variable for variable in defaults if variable.startswith(begins)]
        lines += [f"# {meaning}", *(f"# {variable}={defaults.pop(variable)}" for variable in named)]
    assert not defaults, "a variable of docker-compose.yml has no meaning here"
    return "\n".join(lines) + "\n"


def rendered() -> str:
    return "".join(
        (
            *(HEAD, of_the_services(), AWS, TRACES, SOURCES, CONSOLE, LOCAL, of_the_ports()),
            *(COMPOSE, of_the_containers(), AIRFLOW),
        )
    )


def test_the_example_lists_every_setting_as_the_code_has_it() -> None:
    assert FILE.read_text() == rendered()


def test_no_setting_is_without_a_meaning() -> None:
    for models in SECTIONS.values():
        for model in models:
            assert all(field.description for field in model.model_fields.values())


def test_a_shell_takes_every_line_for_what_it_shows() -> None:
    lines = [line.removeprefix("# ") for line in rendered().splitlines()]
    settings = [line for line in lines if re.match(r"[A-Z][A-Z0-9_]*=", line)]
    names = [line.partition("=")[0] for line in settings]
    assert len(names) == len(set(names))
    script = "\n".join([*settings, *(f'printf "%s\\n" "${name}"' for name in names)])
    shown = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, check=True).stdout
    unquoted = [line.partition("=")[2].strip("'") for line in settings]
    assert shown.splitlines() == unquoted


def named_in_the_code() -> set[str]:
    """Names of variables in texts of the code, whole ones only; constants that such a text is made of are not seen."""
    files = [
        file
        for folder in ("shared", "services", "console", "deploy")
        for file in (ROOT / folder).rglob("*.py")
    ]
    return {
        name
        for file in files
        for name in re.findall(r"\"(ONPOINT_[A-Z0-9_]*[A-Z0-9])\"", file.read_text(encoding="utf-8"))
    }


def test_no_variable_that_the_code_names_is_missing() -> None:
    listed = set(re.findall(r"^(?:# )?(\w+)=", rendered(), re.MULTILINE))
    files = {name for name in named_in_the_code() if name.endswith("_FILE")}
    assert {name.removesuffix("_FILE") for name in files} <= listed
    assert named_in_the_code() - files - listed == {MARK}


if __name__ == "__main__":
    FILE.write_text(rendered())
