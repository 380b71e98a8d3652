import platform
from importlib.metadata import version

import pytest

from search.drive.versions import IN_RESULTS, PACKAGES, version_changes, version_of, versions


def test_the_version_of_python_is_recorded():
    assert versions()["python"] == platform.python_version()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_has_the_version_that_is_installed(package):
    assert versions()[package] == version(package)


def test_only_python_and_the_listed_packages_are_recorded():
    assert set(versions()) == {"python", *PACKAGES}


def test_a_package_that_is_absent_has_no_version():
    assert version_of("no-such-package") is None


def test_the_same_versions_are_no_change():
    assert version_changes(versions(), versions()) is None


@pytest.mark.parametrize("name", IN_RESULTS)
def test_a_version_that_results_depend_on_is_named_in_one_line(name):
    line = version_changes({**versions(), name: "0.1"}, versions()).sentence
    assert f"{name} 0.1 -> {versions()[name]}" in line
    assert "bit for bit" in line and "not promised" in line
    assert "\n" not in line


def test_a_version_that_only_the_projections_see_is_no_change():
    assert version_changes({**versions(), "mlflow": "0.1", "lanewise": "0.0"}, versions()) is None
