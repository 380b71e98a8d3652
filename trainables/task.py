"""What a data set's target is: a class, or a number."""

from enum import StrEnum


class Task(StrEnum):
    """What is learned."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"
