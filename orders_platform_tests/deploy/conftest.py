"""One package of the commit under test, built once a session."""

import pytest

from orders_platform.deploy.package import Package
from orders_platform_tests.deploy import packing


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The wheel and the archive for the Python that runs the tests."""
    place = tmp_path_factory.mktemp("package")
    return packing.build(packing.clone(place / "clone"), place / "made")
