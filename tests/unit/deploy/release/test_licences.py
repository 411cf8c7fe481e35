"""Of every component of a bill of materials the licence is known."""

from typing import Any

import pytest

from deploy.release.licences import UnlicensedError, listed


def component(name: str, *licenses: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "version": "1.0", "licenses": list(licenses)}


@pytest.mark.parametrize(
    ("stated", "licence"),
    [
        ([{"expression": "Apache-2.0 AND MIT"}], "Apache-2.0 AND MIT"),
        ([{"license": {"id": "MIT"}}], "MIT"),
        ([{"license": {"name": "License :: OSI Approved :: BSD License"}}], "BSD License"),
        ([{"license": {"name": "MIT License\n\nPermission is hereby granted"}}], "MIT License"),
        ([{"license": {"id": "PSF-2.0"}}, {"license": {"id": "MIT"}}], "MIT, PSF-2.0"),
    ],
)
def test_a_licence_is_named_as_its_package_names_it(stated: list[dict[str, Any]], licence: str) -> None:
    assert list(listed({"components": [component("a", *stated)]})) == [f"a\t1.0\t{licence}"]


def test_components_are_in_the_order_of_their_names() -> None:
    mit = {"license": {"id": "MIT"}}
    lines = listed({"components": [component("b", mit), component("A", mit)]})
    assert [line.partition("\t")[0] for line in lines] == ["A", "b"]


def test_components_without_a_licence_are_refused_by_name() -> None:
    with pytest.raises(UnlicensedError, match="by: a, c"):
        list(
            listed({"components": [component("a"), component("b", {"license": {"id": "X"}}), component("c")]})
        )
