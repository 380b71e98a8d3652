"""What a data set's target is: a class, or a number."""

from enum import StrEnum

AUTO = "auto"
"""Stands for a task that is yet to be told from the target."""


class Task(StrEnum):
    """What is learned."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"
