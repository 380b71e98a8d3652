"""Marks on some of the values of a parameter."""

import pytest


def some_slow(values, *slow):
    """Return ``values`` as ``parametrize`` or the ``params`` of a fixture take them, those named ``slow`` marked."""
    return [pytest.param(value, marks=pytest.mark.slow) if value in slow else value for value in values]
