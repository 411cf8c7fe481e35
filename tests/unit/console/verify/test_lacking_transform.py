"""Where a transform cannot be run as its run ran it, that is a note and no violation."""

import hashlib
import json.decoder
from pathlib import Path

import pytest

from console.verify.transformed import lack_of
from shared.datasets.model import Dataset
from shared.datasets.transform import Code, Step
from shared.transforms.apply import Transformer
from tests.support.processed import a_dataset

SECRET = Transformer(secret=b"a secret")
PLAIN = a_dataset({"id": "int64"}, key=["id"])


def with_step(step: Step) -> Dataset:
    return PLAIN.model_copy(update={"transform": (step,)})


def a_function(code: Code | None) -> Dataset:
    return with_step(Step(python="json.decoder:scanstring", frame="polars", code=code))


def test_nothing_is_lacking_without_a_transform() -> None:
    assert lack_of(PLAIN, Transformer(secret=None)) is None


def test_a_hash_needs_the_secret() -> None:
    dataset = with_step(Step.model_validate({"mask": {"id": "hash"}}))
    assert lack_of(dataset, SECRET) is None
    assert "ONPOINT_MASK_SECRET" in (lack_of(dataset, Transformer(secret=None)) or "")


def test_a_function_whose_text_came_along_is_there() -> None:
    assert lack_of(a_function(Code(sha256="0" * 64, text="def scanstring(frame): ...")), SECRET) is None


def test_a_function_of_a_package_has_to_be_the_one_of_the_run() -> None:
    same = hashlib.sha256(Path(json.decoder.__file__).read_bytes()).hexdigest()
    assert lack_of(a_function(Code(sha256=same)), SECRET) is None
    assert "json.decoder:scanstring" in (lack_of(a_function(Code(sha256="0" * 64)), SECRET) or "")


@pytest.mark.parametrize("module", ["no_such_package", "no_such_package.inner"])
def test_a_package_that_is_not_installed_is_named(module: str) -> None:
    step = Step(python=f"{module}:run", frame="arrow", code=Code(sha256="0" * 64))
    assert module in (lack_of(with_step(step), SECRET) or "")
