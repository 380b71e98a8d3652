"""The target of a user's table: whether it is a class or a number, and its values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.columns import LARGEST, ColumnKind, column_numbers, kind_of
from trainables.data.odd_numbers import inexact
from trainables.data.parts import FEWEST_OF_A_CLASS, class_errors
from trainables.errors import DataError
from trainables.notice import Notice
from trainables.task import AUTO, Task

if TYPE_CHECKING:
    import pandas as pd

MOST_WHOLE = 20
"""Distinct whole numbers up to which a target is taken for classes, unless the user says otherwise."""

MOST_CLASSES = 100
"""Distinct whole numbers up to which a target that is taken for a number could well be classes."""

TASK_NOTICE = "task"
"""Kind of the notice that says how the task was told from the target."""

FEWEST_NUMBERS = 10
"""Rows that a numeric target needs: two for validation, two for test."""


@dataclass(frozen=True)
class Target:
    """What is learned from a table.

    Attributes:
        y: [N] int64 class numbers, or the target in its own units, float64.
        labels: what the classes are called; empty for a number.
        notice: how the task was told, and how to have it read otherwise.
        values: the classes as the table has them: text, true and false, or numbers.
    """

    y: NDArray[Any]
    labels: tuple[str, ...]
    notice: Notice
    values: tuple[Any, ...] = ()

    @property
    def numeric(self) -> bool:
        """Whether it is a number."""
        return not self.labels


def read_target(column: pd.Series[Any], name: str, task: str) -> Target:
    """Return the target in ``column``, which misses no value.

    With ``task`` ``auto``, text, categories and true/false are classes, and so are whole numbers of which
    there are at most ``MOST_WHOLE``; any other number is a number.

    Raises:
        DataError: it is neither, or unfit to learn from; a line each.
    """
    what, kind = f"--target {name!r}", kind_of(column)
    if kind in (ColumnKind.DATE, ColumnKind.OTHER):
        kept = "a date" if kind is ColumnKind.DATE else f"{type(column.iloc[0]).__name__} values"
        raise DataError(f"{what} holds {kept}; a target is a class (text, true/false, whole numbers) or a number")
    if kind is ColumnKind.TEXT:
        if task == Task.REGRESSION:
            raise DataError(f"{what} is text (such as {column.iloc[0]!r}); --task regression needs numbers")
        return _classes(column_numbers(column, kind), what, _why(task, "text"))
    if task != Task.REGRESSION and kind is ColumnKind.NUMBER and inexact(column):
        raise DataError(
            f"{what} holds whole numbers such as {column.iloc[0]:.0f}, longer than a number can tell apart "
            f"(beyond 2^53); --as {name!r}=text takes them as classes, --task regression as numbers"
        )
    values = column_numbers(column, kind)
    endless = int((np.abs(values) > LARGEST).sum())
    if endless:
        raise DataError(f"{what} holds {endless} infinite value(s), or beyond 1e30; correct or empty them")
    if kind is ColumnKind.FLAG and task != Task.REGRESSION:
        return _classes(values.astype(bool), what, _why(task, "true or false"))
    distinct = len(np.unique(values))
    whole = bool((values == np.round(values)).all())
    if task == Task.CLASSIFICATION or (task == AUTO and whole and distinct <= MOST_WHOLE):
        found = f"a whole number with {distinct} distinct values (up to {MOST_WHOLE} are taken as classes"
        instead = "--task regression takes it as a number"
        return _classes(values, what, _why(task, f"{found}; {instead})"), advice=f"; {instead}")
    if distinct < 2:
        raise DataError(f"{what} is {values[0]:g} in every row; there is nothing to learn")
    if len(values) < FEWEST_NUMBERS:
        raise DataError(f"{what}: {len(values)} rows are too few; at least {FEWEST_NUMBERS} are needed")
    return Target(values, (), _number_notice(task, distinct=distinct, whole=whole, rows=len(values)))


def _classes(values: NDArray[Any], what: str, why: str, *, advice: str = "") -> Target:
    found, y = np.unique(values.astype(str) if values.dtype == object else values, return_inverse=True)
    classes = tuple(_whole(value) for value in found.tolist())
    labels = tuple(map(str, classes))
    errors = class_errors(y, labels, what=what, advice=advice)
    if errors:
        raise DataError(errors)
    return Target(y.astype(np.int64), labels, _task_notice(Task.CLASSIFICATION, why), classes)


def _number_notice(task: str, *, distinct: int, whole: bool, rows: int) -> Notice:
    """Return how the task was told where the target is a number, a warning where it could be classes."""
    text = f"a number with {distinct:,} distinct values"
    few = distinct <= MOST_WHOLE or (whole and distinct <= MOST_CLASSES and distinct * FEWEST_OF_A_CLASS <= rows)
    if task != AUTO or not few:
        return _task_notice(Task.REGRESSION, _why(task, text))
    why = f"whole, more than {MOST_WHOLE}" if whole else "not all of them whole"
    text += f" ({why}; --task classification takes them as classes)"
    return Notice(TASK_NOTICE, f"task: {Task.REGRESSION}, {_why(task, text)}", warning=True)


def _task_notice(task: Task, why: str) -> Notice:
    return Notice(TASK_NOTICE, f"task: {task}, {why}")


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _why(task: str, found: str) -> str:
    return f"the target is {found}" if task == AUTO else "as asked for"
