from pathlib import Path

import pytest

from console.cli import environment
from console.cli.errors import WrongUseError
from deploy.local.client_settings import ClientSettings
from shared.datasets.built_in import BUILT_IN
from shared.errors import ConfigurationError
from shared.settings.kafka import KafkaSettings
from shared.settings.postgres import PostgresSettings

STACK = {
    "ONPOINT_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
    "ONPOINT_POSTGRES_DSN": "postgresql://me:secret@127.0.0.1/onpoint",
    "ONPOINT_LAKE_BUCKET": "lake",
}


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_of_running_stack", lambda _: dict(STACK))


@pytest.mark.usefixtures("stack")
def test_the_running_stack_is_used_where_nothing_else_is_named() -> None:
    assert environment.settings(KafkaSettings).kafka_bootstrap_servers == "127.0.0.1:9092"
    assert environment.postgres_dsn() == STACK["ONPOINT_POSTGRES_DSN"]
    assert environment.lake_bucket() == "lake"
    assert environment.psql() == 'eval "$(onpoint env)"; psql'


@pytest.mark.usefixtures("stack")
def test_an_environment_that_names_an_installation_is_never_mixed_with_the_stack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ONPOINT_KAFKA_BOOTSTRAP_SERVERS", "kafka.example.org:9092")

    assert environment.settings(KafkaSettings).kafka_bootstrap_servers == "kafka.example.org:9092"
    assert environment.postgres_dsn() is None
    with pytest.raises(ConfigurationError, match="ONPOINT_POSTGRES_DSN"):
        environment.settings(PostgresSettings)
    assert environment.psql() == 'psql "$ONPOINT_POSTGRES_DSN"'


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the caller's, with a dataset `mine`."""
    folder = tmp_path / "mine"
    folder.mkdir()
    posts = (BUILT_IN / "posts.yaml").read_text()
    (folder / "mine.yaml").write_text(
        posts.replace("name: posts", "name: mine").replace("onpoint_posts", "mine")
    )
    monkeypatch.setenv("ONPOINT_DATASETS_DIR", str(folder))
    return folder


def running_with(monkeypatch: pytest.MonkeyPatch, **overrides: str) -> None:
    found = ClientSettings(addresses=STACK, overrides=overrides)
    monkeypatch.setattr(ClientSettings, "of_running_stack", lambda _: found)


@pytest.mark.usefixtures("own_folder")
@pytest.mark.parametrize("asked", [["mine"], ["posts", "mine"], []])
def test_a_dataset_that_the_stack_was_started_without_is_not_asked_for(
    monkeypatch: pytest.MonkeyPatch, asked: list[str]
) -> None:
    running_with(monkeypatch)
    with pytest.raises(
        WrongUseError, match=r"another ONPOINT_DATASETS_DIR \(none\): `onpoint down`, then `onpoint up`"
    ):
        environment.require_same_datasets(asked)


@pytest.mark.usefixtures("own_folder")
def test_the_folder_that_the_stack_was_started_with_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    running_with(monkeypatch, ONPOINT_DATASETS_DIR=str(tmp_path / "other"))
    with pytest.raises(WrongUseError, match=f"{tmp_path / 'other'}"):
        environment.require_same_datasets(["mine"])


def test_a_dataset_that_the_stack_knows_can_be_asked_for_from_anywhere(
    monkeypatch: pytest.MonkeyPatch, own_folder: Path
) -> None:
    running_with(monkeypatch)
    environment.require_same_datasets(["posts"])
    running_with(monkeypatch, ONPOINT_DATASETS_DIR=str(own_folder))
    environment.require_same_datasets(["mine"])
    environment.require_same_datasets([])


@pytest.mark.usefixtures("own_folder")
def test_another_installation_is_not_compared_with_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    running_with(monkeypatch)
    monkeypatch.setenv("ONPOINT_KAFKA_BOOTSTRAP_SERVERS", "kafka.example.org:9092")
    environment.require_same_datasets(["mine"])


def test_psql_needs_no_address_where_the_shell_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGDATABASE", "onpoint")

    assert environment.psql() == "psql"


def test_without_stack_and_settings_the_way_out_is_told() -> None:
    with pytest.raises(WrongUseError, match="start one with `onpoint up`"):
        environment.settings(KafkaSettings)


def test_an_error_never_shows_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONPOINT_POSTGRES_DSN", STACK["ONPOINT_POSTGRES_DSN"])
    monkeypatch.setenv("ONPOINT_POSTGRES_POOL_SIZE", "many")

    with pytest.raises(ConfigurationError) as caught:
        environment.settings(PostgresSettings)
    assert "secret" not in str(caught.value)


def test_an_address_that_would_be_misread_is_refused_where_it_is_only_of_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ONPOINT_POSTGRES_DSN", "postgresql://me:secret/1@127.0.0.1/onpoint")

    with pytest.raises(ConfigurationError, match=r"ONPOINT_POSTGRES_DSN: .*%2F") as caught:
        environment.postgres_dsn()
    assert "secret" not in str(caught.value)


def test_the_table_of_a_dataset_is_read_from_its_own_file_whatever_is_wrong_with_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ONPOINT_DATASETS_DIR", str(tmp_path))
    (tmp_path / "orders.yaml").write_text("name: orders\ntable: shop_orders\n")
    (tmp_path / "broken.yaml").write_text("name: [")
    (tmp_path / "hostile.yaml").write_text('name: hostile\ntable: "x\'; rm -rf /"\n')

    assert environment.table_of("posts") == "onpoint_posts"
    assert environment.table_of("orders") == "shop_orders"
    assert environment.table_of("hostile") == "onpoint_hostile"
    assert environment.table_of("unknown") == "onpoint_unknown"
    assert environment.table_of("broken") == "onpoint_broken"
    assert environment.table_of("../etc") == "onpoint_../etc"


def test_the_table_of_a_dataset_in_a_file_of_another_name_is_found_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ONPOINT_DATASETS_DIR", str(tmp_path))
    posts = (
        (BUILT_IN / "posts.yaml")
        .read_text()
        .replace("name: posts", "name: other")
        .replace("onpoint_posts", "t")
    )
    (tmp_path / "anything.yaml").write_text(posts)

    assert environment.table_of("other") == "t"
