"""Search spaces, one file per question. Knows Optuna distributions, nothing else."""

from spaces.overrides import apply_overrides, merge_changes, parse_assignments, read_overrides
from spaces.space import (
    Condition,
    Parameter,
    Point,
    Space,
    SpaceError,
    Value,
    category,
    float_,
    hash_params,
    int_,
    nearest,
    when,
)

__all__ = [
    "Condition",
    "Parameter",
    "Point",
    "Space",
    "SpaceError",
    "Value",
    "apply_overrides",
    "category",
    "float_",
    "hash_params",
    "int_",
    "merge_changes",
    "nearest",
    "parse_assignments",
    "read_overrides",
    "when",
]
