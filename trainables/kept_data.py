"""What is kept of the data with a model: how raw examples become its inputs, and what its outputs mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from trainables.data.array_preprocessing import ArrayPreprocessing
from trainables.data.image_preprocessing import ImagePreprocessing
from trainables.data.number_preprocessing import NumberPreprocessing
from trainables.data.preprocessing import Preprocessing
from trainables.data.splits import Splits, TargetScale
from trainables.data.table_preprocessing import TablePreprocessing
from trainables.errors import CheckpointError

VERSION = 1

_KINDS: dict[str, type[Preprocessing]] = {
    found.kind: found for found in (TablePreprocessing, NumberPreprocessing, ArrayPreprocessing, ImagePreprocessing)
}


@dataclass(frozen=True)
class KeptData:
    """What is kept of the data that a model was trained on.

    Attributes:
        name: what the data set is called.
        classes: the classes as the source has them, in the order of the outputs; empty where the target is a number.
        scale: how a numeric target was standardised; None for classes.
        preprocessing: makes inputs of raw examples; None where there are no raw ones.
    """

    name: str
    classes: tuple[Any, ...]
    scale: TargetScale | None
    preprocessing: Preprocessing | None

    @classmethod
    def of(cls, splits: Splits) -> Self:
        """Return what is kept of these."""
        classes = splits.class_values or splits.labels or tuple(range(splits.classes))
        return cls(splits.name, classes, splits.scale, splits.preprocessing)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data and tensors, with the version of this form."""
        how = self.preprocessing
        return {
            "version": VERSION,
            "name": self.name,
            "classes": list(self.classes),
            "target": None if self.scale is None else {"mean": self.scale.mean, "deviation": self.scale.deviation},
            "preprocessing": None if how is None else {"kind": how.kind, **how.to_dict()},
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` made plain data of.

        Raises:
            CheckpointError: of a version that is not known here.
        """
        if saved.get("version") != VERSION:
            found = saved.get("version")
            raise CheckpointError(f"its preprocessing has version {found!r}, this version of Lanewise reads {VERSION}")
        scale, how = saved["target"], saved["preprocessing"]
        return cls(
            saved["name"],
            tuple(saved["classes"]),
            None if scale is None else TargetScale(scale["mean"], scale["deviation"]),
            None if how is None else _KINDS[how["kind"]].from_dict({k: v for k, v in how.items() if k != "kind"}),
        )
