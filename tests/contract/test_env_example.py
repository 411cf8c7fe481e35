"""`.env.example` lists every setting with its meaning and default.

`python -m tests.contract.test_env_example` writes it anew.
"""

from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from services.converter.settings import ConverterSettings
from services.crawler.settings import CrawlSettings
from services.loader.settings import LoaderSettings
from services.processor.settings import ProcessorSettings
from services.s3sink.settings import SinkSettings
from shared.settings import (
    PREFIX,
    DatasetSettings,
    KafkaSettings,
    ObjectStoreSettings,
    PostgresSettings,
    ProcessSettings,
    Settings,
)
from shared.sweep.settings import SweepSettings

FILE = Path(__file__).parents[2] / ".env.example"

SECTIONS: dict[str, tuple[type[Settings], ...]] = {
    "Where things are (`onpoint env` prints these for the local stack)": (
        KafkaSettings,
        PostgresSettings,
        ObjectStoreSettings,
    ),
    "Datasets": (DatasetSettings,),
    "Every service": (ProcessSettings,),
    "crawler": (CrawlSettings,),
    "processor": (ProcessorSettings,),
    "converter": (ConverterSettings,),
    "loader": (LoaderSettings,),
    "s3sink": (SinkSettings,),
    "quality, and `onpoint sweep`": (SweepSettings,),
}

HEAD = """\
# Every setting of OnPoint. A line that is commented out shows its default; the others must be set.
# A secret can be a file instead: ONPOINT_POSTGRES_DSN_FILE=/run/secrets/dsn. A wrong value stops a service at start.
"""

TAIL = """\

# S3 credentials, by the standard chain (variables, profile or role)
AWS_ACCESS_KEY_ID=
AWS_SECRET_ACCESS_KEY=
AWS_REGION=us-east-1

# Sources: replace a dataset file's settings, by the source's name (JSONPLACEHOLDER, HACKERNEWS, ...)
# ONPOINT_SOURCE_JSONPLACEHOLDER_URL=https://jsonplaceholder.typicode.com
# ONPOINT_SOURCE_JSONPLACEHOLDER_REQUESTS_PER_SECOND=10
# ONPOINT_SOURCE_JSONPLACEHOLDER_CONCURRENCY=5
# ONPOINT_SOURCE_JSONPLACEHOLDER_PAGE_SIZE=100

# The local stack (`onpoint up`)
# ONPOINT_HOME=.onpoint                 folder of its data, logs and secrets
# ONPOINT_COMPONENTS_DIR=               folder of the downloaded programs; default: .onpoint/components
# ONPOINT_PORTS=                        "free": take free ports and remember them
# ONPOINT_PORT_KAFKA=29092              likewise _KAFKA_CONTROLLER, _POSTGRES, _S3, _CRAWLER ... _QUALITY
"""


def line_of(name: str, field: FieldInfo) -> str:
    variable = PREFIX + name.upper()
    default: Any = field.default
    meaning = f"# {field.description}"
    if default is PydanticUndefined:
        secret = " (or its _FILE)" if field.annotation is SecretStr else ""
        return f"{meaning}{secret}\n{variable}="
    return f"{meaning}\n# {variable}={'' if default is None else default}"


def rendered() -> str:
    parts = [HEAD]
    for title, models in SECTIONS.items():
        parts.append(f"\n# --- {title}\n")
        parts += [
            line_of(name, field) + "\n" for model in models for name, field in model.model_fields.items()
        ]
    return "".join(parts) + TAIL


def test_the_example_lists_every_setting_as_the_code_has_it() -> None:
    assert FILE.read_text() == rendered()


def test_no_setting_is_without_a_meaning() -> None:
    for models in SECTIONS.values():
        for model in models:
            assert all(field.description for field in model.model_fields.values())


if __name__ == "__main__":
    FILE.write_text(rendered())
