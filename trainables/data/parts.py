"""A data set cut into its three parts, and how the parts are standardised: by the training part alone."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.preprocessing import Preprocessing, Standardisation
from trainables.data.recut import Recut, cut_anew
from trainables.data.splits import Arrays, TargetScale, random_split, stratified_split
from trainables.notice import Notice, notice_of

VALIDATION_SHARE = 0.2
TEST_SHARE = 0.2

FEWEST_OF_A_CLASS = 3
"""Examples that a class needs: one for each part."""

SHOWN = 5
"""Names that a message lists before it counts the rest."""


@dataclass(frozen=True)
class Parts:
    """Train, validation and test examples.

    Attributes:
        scale: how a numeric target was standardised; None for classes.
        labels: what the classes are called, in the order of their numbers; empty where they are numbers only.
        notices: what a user should know of how the data were read.
        preprocessing: makes such examples of raw ones; None where there are no raw ones.
        class_values: the classes as the source has them, in the order of their numbers; empty where these are the same.
    """

    train: Arrays
    val: Arrays
    test: Arrays
    scale: TargetScale | None = None
    labels: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()
    preprocessing: Preprocessing | None = None
    class_values: tuple[Any, ...] = ()


def spelled_alike(names: Iterable[str]) -> list[str]:
    """Return those of ``names`` that differ in case, in blanks or in how accents are encoded alone."""
    plain = {name: " ".join(unicodedata.normalize("NFKC", name).casefold().split()) for name in names}
    counts = Counter(plain.values())
    return sorted(name for name in plain if counts[plain[name]] > 1)


def cut_into_parts(
    x: NDArray[Any], y: NDArray[np.generic], *, numeric: bool, seed: int, recut: Recut | None = None
) -> Parts:
    """Split examples 60 : 20 : 20; classes with their proportions, numbers at random.

    Args:
        x: [N, ...].
        y: [N] class numbers, or the target in its own units where ``numeric``.
        numeric: whether the target is a number.
        seed: seeds the split.
        recut: a pair or a fold, where not the parts of the search are wanted; see ``cut_anew``.
    """
    kind = np.float32 if numeric else np.int64
    held_out, validation, training = (
        Arrays(x[i], y[i].astype(kind)) for i in part_indices(y, numeric=numeric, seed=seed, recut=recut)
    )
    return Parts(training, validation, held_out)


def part_indices(
    y: NDArray[np.generic], *, numeric: bool, seed: int, recut: Recut | None = None
) -> list[NDArray[np.int64]]:
    """Return which examples are for test, for validation and for training, as ``cut_into_parts`` splits them.

    With ``recut`` these are the parts of that pair or fold, see ``cut_anew``.
    """
    test, val = (round(len(y) * share) for share in (TEST_SHARE, VALIDATION_SHARE))
    sizes = (test, val, len(y) - test - val)
    if numeric:
        indices = random_split(len(y), sizes, seed=seed)
    else:
        indices = stratified_split(y.astype(np.int64), sizes, seed=seed)
    return cut_anew(indices, None if numeric else y.astype(np.int64), recut)


def class_errors(
    y: NDArray[np.int64], labels: Sequence[str], *, what: str, cut: bool = True, advice: str = ""
) -> list[str]:
    """Return why classes cannot be learned, a line each; empty if they can.

    Args:
        y: [N] class numbers.
        labels: what the classes are called.
        what: what the classes are of, to begin each line.
        cut: whether validation or test examples are to be cut from these.
        advice: what else could be done, to end the line of small classes.
    """
    if len(labels) < 2:
        return [f"{what} has {len(labels)} class(es) ({quote_first(labels)}); at least two are needed"]
    counts = np.bincount(y, minlength=len(labels))
    small = [f"{labels[c]!r} has {counts[c]}" for c in np.flatnonzero(counts < FEWEST_OF_A_CLASS).tolist()]
    if small:
        return [f"{what}: a class needs at least {FEWEST_OF_A_CLASS} examples; {list_first(small)}{advice}"]
    if cut and round(len(y) * min(TEST_SHARE, VALIDATION_SHARE)) < len(labels):
        fewest = math.ceil(len(labels) / min(TEST_SHARE, VALIDATION_SHARE))
        return [
            f"{what}: {len(y)} examples are too few for {len(labels)} classes, of which validation and test "
            f"need one each; at least {fewest} are needed"
        ]
    return []


def absent_classes(parts: Parts) -> list[Notice]:
    """Return of which classes a part has no example, as happens to the rarest."""
    notices = []
    for name, part in (("train", parts.train), ("validation", parts.val), ("test", parts.test)):
        absent = np.setdiff1d(np.arange(len(parts.labels)), part.y).tolist()
        if absent:
            labels = [parts.labels[c] for c in absent]
            notices.append(
                notice_of("absent_classes", f"no example in {name}: {quote_first(labels)}", labels, warning=True)
            )
    return notices


def quote_first(names: Sequence[str]) -> str:
    """Return the first few names as a list in words, quoted, and how many more there are."""
    return list_first([repr(name) for name in names])


def printable(name: str) -> str:
    """Return a file's name as it can be shown in one line: what cannot be printed, escaped."""
    return name if name.isprintable() else ascii(name)[1:-1]


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 file``, ``1,200 files``, ``2 copies``."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def list_first(texts: Sequence[str]) -> str:
    """Return the first few texts as a list in words, and how many more there are."""
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return ", ".join(texts[:SHOWN]) + more


def centre_pixels(parts: Parts) -> Standardisation:
    """Shift each pixel, in place, by its mean over the training part; scale all by that part's deviation over all.

    A pixel that never changes becomes exactly 0. Left at another value it would act as a second bias,
    whose gradient under batch norm is rounding noise, which AdamW scales up to whole steps.

    Returns:
        What was done.
    """
    x = parts.train.held
    return _standardise(parts, x.mean(axis=0, dtype=np.float64), x.std(dtype=np.float64))


def standardise_columns(parts: Parts) -> Standardisation:
    """Give every column, in place, mean 0 and deviation 1 over the training part; a constant one becomes 0.

    Returns:
        What was done.
    """
    x = parts.train.held
    deviation = x.std(axis=0, dtype=np.float64)
    return _standardise(parts, x.mean(axis=0, dtype=np.float64), np.where(deviation > 0, deviation, 1.0))


def standardise_target(parts: Parts) -> Parts:
    """Give a numeric target mean 0 and deviation 1 over the training part, and keep its scale."""
    y = parts.train.y
    scale = TargetScale(float(y.mean(dtype=np.float64)), float(y.std(dtype=np.float64)) or 1.0)
    scaled = (
        replace(p, y=((p.y - scale.mean) / scale.deviation).astype(np.float32))
        for p in (parts.train, parts.val, parts.test)
    )
    train, val, test = scaled
    return replace(parts, train=train, val=val, test=test, scale=scale)


def _standardise(
    parts: Parts, mean: NDArray[np.float64], deviation: NDArray[np.float64] | np.float64
) -> Standardisation:
    """Standardise the parts where they lie, and return how."""
    done = Standardisation(mean.astype(np.float32), np.asarray(deviation, np.float32))
    for part in (parts.train, parts.val, parts.test):
        done.apply_in_place(part.held)
    return done
