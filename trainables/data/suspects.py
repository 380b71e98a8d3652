"""What in a table makes a model look better than it is: copied rows, and columns that know the target."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.parts import Parts, list_first, quote_first
from trainables.notice import Notice, notice_of

SAMPLE = 2000
"""Training rows by which columns are judged; all of a long table would take as long as reading it."""

FEWEST = 30
"""Training rows below which a column may tell the target by chance."""

NEAR_PERFECT = {"number": 0.99, "class": 0.95}
"""Share of what a target differs between two rows at random that a column explains, to be pointed out.

Of two classes of one size, a column that is right in 99% of the rows explains 96%.
"""

FEWEST_GROUPS = 10

AT_ONCE = 1_000
"""Columns that are sorted together."""

IDENTIFIER = re.compile(r"(^|[_\W])(id|ids|uid|uuid|guid|key|index|idx|row)$", re.IGNORECASE)

GROUP = re.compile(
    r"(^|[_\W])(patient|subject|participant|person|user|customer|client|student|household|session|animal|donor)s?"
    r"([_\W]?(id|no|nr|num|number|code))?$|" + IDENTIFIER.pattern,
    re.IGNORECASE,
)


def suspicious_columns(
    columns: Mapping[str, NDArray[Any]], y: NDArray[Any], *, numeric: bool, seed: int
) -> list[Notice]:
    """Return which columns know the target, mark groups of rows, or number the rows.

    A column knows the target if rows that are neighbours when sorted by it have (nearly) one target: the statistic of
    Chatterjee's correlation (2021), by rank and in the target's own units, or of von Neumann's ratio. A tie is in
    random order, so that a constant column explains nothing; missing values are together, so that a date which is
    there only after the outcome explains it.

    Args:
        columns: of the training part, by name: [N] numbers each, NaN where one is missing, or texts.
        y: [N] the targets.
        numeric: whether the target is a number.
        seed: chooses the rows that are looked at, and the order of ties.
    """
    rows = np.random.default_rng(seed).permutation(len(y))[:SAMPLE]
    if len(rows) < FEWEST or not columns:
        return []
    notices = _knowing(columns, y[rows], rows, numeric=numeric)
    told = {name for notice in notices for name in notice.names}
    notices += _groups({name: _numbers(x[:SAMPLE]) for name, x in columns.items() if name not in told}, y[:SAMPLE])
    named = {name for notice in notices for name in notice.names}
    numbered = [name for name, x in columns.items() if name not in named and _numbers_the_rows(name, x)]
    if numbered:
        text = f"like an identifier, another whole number in each row: {quote_first(numbered)}; --drop leaves it out"
        notices.append(notice_of("identifier_columns", text, numbered, warning=True))
    return notices


def copied_rows(parts: Parts, columns: Mapping[str, NDArray[Any]]) -> list[Notice]:
    """Return how many rows have the same inputs and target as one before, and as one of the training part.

    Args:
        parts: the examples.
        columns: of the training part, by name. If one of them has many numbers, two rows are hardly alike by chance.
    """
    train, *others = (_digests(part.held, part.y) for part in (parts.train, parts.val, parts.test))
    copies = sum(count - 1 for count in Counter([*train, *others[0], *others[1]]).values())
    if not copies:
        return []
    known = set(train)
    val, test = (sum(row in known for row in rows) for rows in others)
    text = (
        f"rows with the inputs and target of another: {copies:,}; {val:,} validation and {test:,} test rows have a copy"
    )
    several = any(x.dtype != object and len(np.unique(x[:SAMPLE])) > FEWEST for x in columns.values())
    return [Notice("duplicate_rows", f"{text} in train", copies, warning=several and val + test > 0)]


def _numbers(x: NDArray[Any]) -> NDArray[np.float64]:
    """Return numbers as they are, and for texts the number of each, in the order in which they come."""
    import pandas as pd

    return pd.factorize(x, use_na_sentinel=False)[0].astype(np.float64) if x.dtype == object else x


def _knowing(
    columns: Mapping[str, NDArray[Any]], y: NDArray[Any], rows: NDArray[np.int64], *, numeric: bool
) -> list[Notice]:
    names, scores = list(columns), list[float]()
    for start in range(0, len(names), AT_ONCE):
        x = np.column_stack([_numbers(columns[name][rows]) for name in names[start : start + AT_ONCE]])
        scores += _explained(x, y, numeric=numeric).tolist()
    enough = NEAR_PERFECT["number" if numeric else "class"]
    found = {name: score for name, score in zip(names, scores, strict=True) if score >= enough}
    if not found:
        return []
    listed = list_first([f"{name!r} (score {score:.3f})" for name, score in found.items()])
    text = f"predicts the target by itself: {listed}; if it is not known before the outcome, --drop leaves it out"
    return [notice_of("target_leak", text, found, warning=True)]


def _explained(x: NDArray[np.float64], y: NDArray[Any], *, numeric: bool) -> NDArray[np.float64]:
    """Return how much of the target each column explains: 1 all, 0 nothing. x is [N, D], y is [N]."""
    order = np.argsort(x, axis=0, kind="stable")  # [N, D]; the rows came in random order, NaN goes last
    if numeric:
        between = np.square(np.diff(y[order], axis=0)).sum(axis=0)
        expected = 2 * len(y) * float(np.var(y))
        return np.maximum(_share(between, expected), _explained_ranks(order, y))
    classes = np.bincount(y)
    between = np.maximum((np.diff(y[order], axis=0) != 0).sum(axis=0) - (np.count_nonzero(classes) - 1), 0)
    expected = len(y) * (1 - float(np.square(classes / len(y)).sum()))
    return _share(between, expected)


def _explained_ranks(order: NDArray[np.intp], y: NDArray[Any]) -> NDArray[np.float64]:
    """Return the same of the target's ranks: a few values far from the others do not hide what a column knows."""
    _, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[codes]  # the mean of those that are alike
    least = float(np.ptp(ranks))  # of rows in the order of the target
    at_random = 2 / len(y) * float(((2 * np.arange(len(y)) - len(y) + 1) * np.sort(ranks)).sum())
    return _share(np.abs(np.diff(ranks[order], axis=0)).sum(axis=0) - least, at_random - least)


def _share(between: NDArray[np.float64], expected: float) -> NDArray[np.float64]:
    return 1 - between / expected if expected > 0 else np.zeros(len(between))


def _groups(columns: Mapping[str, NDArray[np.float64]], y: NDArray[Any]) -> list[Notice]:
    """Return which columns have several rows of each value, as a patient's number has, told by name or target."""
    found = {}
    for name, x in columns.items():
        values, codes = np.unique(x, return_inverse=True)
        whole = bool(np.isfinite(values).all() and (values == np.round(values)).all())
        if not whole or not FEWEST_GROUPS <= len(values) <= len(codes) / 2:
            continue
        least, most = np.full(len(values), np.inf), np.full(len(values), -np.inf)
        np.minimum.at(least, codes, y)
        np.maximum.at(most, codes, y)
        same = bool((least == most).all())
        if same or GROUP.search(name):
            found[name] = f"{len(values)} values in {len(x):,} training rows{', one target for each' if same else ''}"
    if not found:
        return []
    listed = list_first([f"{name!r} ({detail})" for name, detail in found.items()])
    option = f"--group {shlex.quote(next(iter(found)))}" if len(found) == 1 else "--group COLUMN"
    text = (
        f"like a group of rows, and each is in several parts, which flatters a model: {listed}; {option} keeps the "
        "rows of each in one part"
    )
    return [notice_of("groups", text, found, warning=True)]


def _numbers_the_rows(name: str, x: NDArray[Any]) -> bool:
    if x.dtype == object or not np.isfinite(x).all() or (x != np.round(x)).any():
        return False
    if len(np.unique(x[:SAMPLE])) < min(len(x), SAMPLE) or len(np.unique(x)) < len(x):
        return False
    return bool(IDENTIFIER.search(name)) or x.max() - x.min() < 2 * len(x)


def _digests(x: NDArray[Any], y: NDArray[Any]) -> list[int]:
    return [hash(row.tobytes() + target.tobytes()) for row, target in zip(x, y, strict=True)]
