"""Every Kafka client of the product is built by one factory, so that TLS and the login apply to all of them."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FACTORY = ROOT / "shared/bus/kafka.py"
CLIENTS = {"AIOKafkaProducer", "AIOKafkaConsumer", "AIOKafkaAdminClient", "AIOKafkaClient"}


def built_in(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CLIENTS:
            yield f"{file.relative_to(ROOT)}:{node.lineno}"


def test_no_other_module_builds_a_client() -> None:
    files = [
        file
        for folder in ("shared", "services", "console", "deploy")
        for file in (ROOT / folder).rglob("*.py")
    ]
    assert [place for file in files if file != FACTORY for place in built_in(file)] == []


def test_the_factory_builds_each_kind() -> None:
    assert len(list(built_in(FACTORY))) == 3
