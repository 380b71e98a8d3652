"""The facts of a study: what was so when it began, and what its sessions settled for those after them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from typing_extensions import TypedDict

from search.ledger.columns import from_json, model


class NoticeFacts(TypedDict):
    """What a user should know of how the examples were read; ``trainables.notice.Notice.to_dict`` makes it."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    kind: str
    text: str
    count: int | None
    names: list[str]
    warning: bool


class DataFacts(TypedDict):
    """What a reader should know of a study's examples; ``trainables.data.Splits.facts`` makes it.

    Attributes:
        train, validation, test: examples in each part.
        shape: the axes of one example.
        task: ``classification`` or ``regression``; ``none`` where the study names no data.
        classes: 0 where a number is learned.
        labels: the names of the classes, where they have any.
        target_mean, target_deviation: over the training part, where a number is learned.
        notices: how the examples were read, and what is to learn from them.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    name: str
    train: int
    validation: int
    test: int
    shape: list[int]
    task: str
    classes: int
    labels: list[str]
    target_mean: float | None
    target_deviation: float | None
    notices: list[NoticeFacts]


def with_notices(data: Any) -> Any:
    """Return the facts of the data with notices, where an older ledger has their sentences alone, as ``notes``."""
    if not isinstance(data, dict) or not isinstance(data.get("notes"), list) or "notices" in data:
        return data
    notices = [{"kind": "note", "text": text, "count": None, "names": [], "warning": False} for text in data["notes"]]
    return {**{name: value for name, value in data.items() if name != "notes"}, "notices": notices}


class StudyFacts(BaseModel):
    """The facts of one study; each is a column of the ledger's ``studies``, and is written by itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    uid: str = Field(min_length=1)
    """Tells two studies of one name apart in MLflow. Owner: ``search.tracking``; drawn when the study begins."""

    versions: dict[str, str]
    """The versions of Python and of the packages that results depend on, by name. Owner: ``search.drive.versions``."""

    model: dict[str, str] | None = None
    """What tells the trained model from another. Owner: ``search.drive.model_identity``; changes where a user
    accepts another model. None in studies that began before it was recorded."""

    data: Annotated[DataFacts, BeforeValidator(with_notices)] | None = None
    """The examples. Owner: ``trainables.data``. None in studies that began before they were recorded."""

    prepared: dict[str, Any] = {}
    """What the trainable's ``make_ready`` returned when the study began, under names of its own: the checksum of
    pretrained weights, say, or what a user's own trainable returns. Owner: the trainable."""

    lanes: int | None = Field(None, ge=1)
    """How many lanes a worker has, so that a resume has as many; None before a session in lanes.
    Owner: ``search.executors.lanes``."""

    lane_modes: dict[str, str] = {}
    """How groups of trials train whose mode was measured, ``stacked`` or ``looped``, so that a resume does the
    same. Owner: ``search.executors.lanes``."""


PLAIN = ("uid", "lanes")
"""The facts whose columns hold them as they are; the others are JSON."""


def to_columns(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts by name as their columns hold them."""
    return {name: value if name in PLAIN or value is None else json.dumps(value) for name, value in facts.items()}


def from_columns(columns: Mapping[str, Any]) -> StudyFacts:
    """Return the facts that columns hold, None where nothing was recorded; raises ValueError where they cannot be."""
    found = {}
    for name in StudyFacts.model_fields:
        value = columns[name]
        if value is not None:
            found[name] = value if name in PLAIN else from_json(value)
    return model(StudyFacts, found)
