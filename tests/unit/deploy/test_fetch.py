"""Where the components go."""

from pathlib import Path

import pytest

from deploy.local.fetch import components_folder, default_components
from deploy.local.home import CHECKOUT_HOME


def test_components_of_a_checkout_are_in_its_home_unless_the_environment_names_another(
    tmp_path: Path,
) -> None:
    assert components_folder({}) == CHECKOUT_HOME / "components"
    assert components_folder({"ONPOINT_COMPONENTS_DIR": str(tmp_path)}) == tmp_path


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"HOME": "/home/me"}, "/home/me/.cache/onpoint/components"),
        ({"HOME": "/home/me", "XDG_CACHE_HOME": "/fast"}, "/fast/onpoint/components"),
    ],
)
def test_components_of_an_installed_package_are_in_the_users_cache(
    environ: dict[str, str], folder: str
) -> None:
    assert default_components(environ, is_checkout=False) == Path(folder)
