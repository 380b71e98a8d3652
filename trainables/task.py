"""What a data set's target is: a class, or a number."""

from enum import StrEnum

AUTO = "auto"
"""Stands for a task that is inferred from the target column."""


class Task(StrEnum):
    """What is learned."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"
