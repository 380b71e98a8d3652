"""Where examples come from, and how they are split."""

from trainables.data.datasets import DATASETS, load_splits, load_test
from trainables.data.spec import DataSpec
from trainables.data.splits import Arrays, Splits

__all__ = ["DATASETS", "Arrays", "DataSpec", "Splits", "load_splits", "load_test"]
