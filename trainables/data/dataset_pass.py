"""One pass over a user's datasets: their targets, what standardises them, and whether all of them can be read."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainables.data.dataset_source import DatasetSource
from trainables.data.memory import cache_folder
from trainables.data.preprocessing import Standardisation
from trainables.data.streamed import Indices
from trainables.errors import DataError, first_line
from trainables.notice import Notice
from trainables.stage import stage

VERSION = 1
"""Of what is kept of a pass."""

AT_ONCE = 64
"""Examples that are read at once."""

SAMPLED = 64
"""Examples of each part that tell data without a fingerprint of their own from others."""


@dataclass(frozen=True)
class Passed:
    """What a pass found.

    Attributes:
        y: the targets of all parts, as the datasets give them  # [N] or [N, ...].
        mean, deviation: of the inputs of the training part; of each column, or of each pixel and all pixels.
        notices: how the examples' shape was understood.
    """

    y: NDArray[np.generic]
    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    notices: tuple[Notice, ...] = ()

    @property
    def standardisation(self) -> Standardisation:
        """What standardises inputs."""
        return Standardisation(self.mean, self.deviation)


def first_example(source: DatasetSource) -> tuple[DatasetSource, tuple[Notice, ...]]:
    """Return the source, with the shape of its first example that all others must have, and how it is understood."""
    raw = np.shape(source.parts()[0][0][0])
    (batch,) = source.read([np.arange(1)], seed=0)
    return replace(source, shape=tuple(raw)), batch.notices


def pass_over(source: DatasetSource, train: Indices, notices: tuple[Notice, ...], *, given: str | None) -> Passed:
    """Read all examples once, or take what is kept of such a pass over data that have a fingerprint of their own.

    Means and deviations are merged batch by batch (Chan, Golub and LeVeque 1983), as scikit-learn's ``StandardScaler``
    does, in float64.

    Args:
        source: the examples.
        train: the numbers of those of the training part.
        notices: how their shape was understood.
        given: the fingerprint that the function gives; None keeps nothing.

    Raises:
        DataError: an example cannot be read, or is not like the others.
    """
    if given is None:
        return replace(_read(source, train), notices=notices)
    file = _file(source, train, given)
    try:
        return replace(_kept(file, source), notices=notices)
    except FileNotFoundError:
        said = []
    except Exception as error:  # NumPy's and zipfile's readers raise whatever damaged bytes lead them to
        said = [f"read again, as what was kept of an earlier pass was damaged ({first_line(error)}): {file}"]
    found = _read(source, train)
    try:
        _keep(file, found)
    except OSError as error:
        said.append(f"read anew by the next session: this pass cannot be kept in {file} ({error.strerror})")
    return replace(found, notices=(*notices, *(Notice("stream_pass", line) for line in said)))


def sampled_digest(source: DatasetSource) -> str:
    """Return a digest of the number of examples and of some of each part, evenly spaced."""
    digest, start = hashlib.sha256(repr(source.lengths).encode()), 0
    for length in source.lengths:
        numbers = start + np.unique(np.linspace(0, length - 1, min(SAMPLED, length)).astype(np.int64))
        for batch in source.read([numbers], seed=0):
            for array in (batch.x.numpy(), batch.y):
                digest.update(f"{array.shape}{array.dtype.str}".encode())
                digest.update(np.ascontiguousarray(array).data)
        start += length
    return digest.hexdigest()


def _read(source: DatasetSource, train: Indices) -> Passed:
    from sklearn.preprocessing import StandardScaler

    total = sum(source.lengths)
    in_train = np.zeros(total, bool)
    in_train[train] = True
    numbers = np.arange(total)
    batches = [numbers[start : start + AT_ONCE] for start in range(0, total, AT_ONCE)]
    scaler, ys, shape = StandardScaler(), [], tuple[int, ...]()
    what = f"reading {source.who} once, for its targets and the mean of its inputs"
    with stage(what, total=total, way_on="the same command reads from the start") as reading:
        for numbers, batch in zip(batches, source.read(batches, seed=0), strict=True):
            x = batch.x.numpy()
            shape = x.shape[1:]
            if len(chosen := x[in_train[numbers]]):
                scaler.partial_fit(chosen.reshape(len(chosen), -1).astype(np.float64))
            ys.append(batch.y)
            reading.advance(len(numbers))
    try:
        y = np.concatenate(ys)
    except ValueError:
        raise DataError(f"{source.who}: the targets differ in shape; one target an example is learned") from None
    mean = scaler.mean_.reshape(shape).astype(np.float32)
    if len(shape) == 1:
        return Passed(y, mean, np.asarray(scaler.scale_, np.float32))
    spread = np.sqrt(np.mean(scaler.var_ + (scaler.mean_ - scaler.mean_.mean()) ** 2))
    return Passed(y, mean, np.asarray(spread or 1.0, np.float32))


def _file(source: DatasetSource, train: Indices, given: str) -> Path:
    name = repr((VERSION, source.function, source.lengths, source.shape, given))
    digest = hashlib.sha256(name.encode())
    digest.update(train.data)
    return cache_folder() / "streams" / f"{digest.hexdigest()[:32]}.npz"


def _kept(file: Path, source: DatasetSource) -> Passed:
    """Return what was kept of a pass.

    Raises:
        FileNotFoundError: nothing was.
        Exception: it is damaged, in whatever way.
    """
    with file.open("rb") as opened, np.load(opened, allow_pickle=False) as held:  # NumPy leaves open what is damaged
        found = Passed(held["y"], held["mean"], held["deviation"])
    total, shape = sum(source.lengths), source.inputs_shape
    if found.y.shape[:1] != (total,):
        raise ValueError(f"targets of shape {found.y.shape} for {total:,} examples")
    if found.mean.shape != shape or found.deviation.shape != (shape if len(shape) == 1 else ()):
        raise ValueError(f"means of shape {found.mean.shape} for inputs of shape {shape}")
    if any(array.dtype != np.float32 or not np.isfinite(array).all() for array in (found.mean, found.deviation)):
        raise ValueError("means and deviations that no examples have")
    if not (found.deviation > 0).all():
        raise ValueError("deviations that are not above 0")
    return found


def _keep(file: Path, passed: Passed) -> None:
    part = file.with_suffix(f".{os.getpid()}.part")
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part.open("wb") as opened:
            np.savez(opened, y=passed.y, mean=passed.mean, deviation=passed.deviation)
        part.replace(file)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
