"""Search spaces, one file per question. Knows Optuna distributions, nothing else."""

from spaces.distance import differing, distance, with_one_of
from spaces.errors import SpaceError
from spaces.overrides import apply_overrides, merge_changes, parse_assignments, read_overrides
from spaces.parameter import Condition, Parameter, Point, Value, category, float_, int_, when
from spaces.space import BASELINE_TRIAL, Space, hash_params
from trainables.mistake import nearest

__all__ = [
    "BASELINE_TRIAL",
    "Condition",
    "Parameter",
    "Point",
    "Space",
    "SpaceError",
    "Value",
    "apply_overrides",
    "category",
    "differing",
    "distance",
    "float_",
    "hash_params",
    "int_",
    "merge_changes",
    "nearest",
    "parse_assignments",
    "read_overrides",
    "when",
    "with_one_of",
]
