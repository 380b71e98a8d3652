import platform
from importlib.metadata import version

import pytest

from search.versions import PACKAGES, versions


def test_python_is_named():
    assert versions()["python"] == platform.python_version()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_has_the_version_that_is_installed(package):
    assert versions()[package] == version(package)


def test_nothing_else_is_in_it():
    assert set(versions()) == {"python", *PACKAGES}
