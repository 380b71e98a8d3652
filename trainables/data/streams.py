"""Datasets of the user's own that are larger than memory as examples: read once for what is learned of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.array_preprocessing import ArrayPreprocessing
from trainables.data.arrays import one_column, target_of
from trainables.data.dataset_inputs import DatasetInputs
from trainables.data.dataset_pass import SAMPLED, Passed, first_example, pass_over, sampled_digest
from trainables.data.dataset_source import DatasetSource, fingerprint_of, lengths_of, opened
from trainables.data.parts import TEST_SHARE, Parts, standardise_target
from trainables.data.recut import Recut, cut_anew
from trainables.data.room import MemoryLimit, gib
from trainables.data.splits import Arrays, random_split
from trainables.data.target import Target
from trainables.errors import DataError
from trainables.notice import Notice


def load(
    function: str,
    *,
    task: str,
    seed: int,
    workers: int = 0,
    memory_mb: int | None = None,
    recut: Recut | None = None,
) -> Parts:
    """Return the examples of a function's datasets, of which a batch at a time is in memory.

    They are read once here: targets, and the means and deviations of the training part. Those of a pair are
    standardised as the search's are, since another pass would be needed for each; its numeric target by its own part.

    Args:
        function: ``package.module:function``.
        task: ``classification``, ``regression``, or ``auto`` (see ``read_target``).
        seed: seeds the cut of the test part, where there is none.
        workers: processes that read ahead.
        memory_mb: MiB that the examples may take in memory; by default half of what is free.
        recut: a pair, where not the parts of the search are wanted; see ``cut_anew``.

    Raises:
        DataError: they cannot be examples; a line that names the item.
    """
    given = fingerprint_of(function)  # now: not what it said when the study began
    source = DatasetSource(function, lengths_of(function, opened(function)), workers)
    if 0 in source.lengths:
        raise DataError(f"{source.who}: a part is empty: {source.lengths} examples")
    source, notices = first_example(source)
    test, val, train = _indices(source, seed=seed)
    if len(source.lengths) == 2:
        text = f"test: {len(test):,} examples are cut from train at random, as there is no test part"
        notices += (Notice("arrays_test_cut", text, len(test)),)
    passed = pass_over(source, train, notices, given=given)
    target, told = _target(source, passed, task)
    classes = None if target.numeric else target.y
    test, val, train = cut_anew([test, val, train], classes, recut)
    standardisation = passed.standardisation
    identity = sampled_digest(source) if given is None else given

    def part(indices: NDArray[np.int64]) -> Arrays:
        return Arrays(DatasetInputs(source, indices, standardisation, identity=identity), target.y[indices])

    parts = Parts(part(train), part(val), part(test), labels=target.labels)
    shape = parts.train.x.shape[1:]
    streamed = _streamed_notices(source, 4 * int(np.prod(shape)), MemoryLimit.of(memory_mb), given)
    parts = standardise_target(parts) if target.numeric else parts
    return replace(
        parts,
        notices=(target.notice, *dict.fromkeys((*passed.notices, *told)), *streamed),
        preprocessing=ArrayPreprocessing(shape, standardisation),
        class_values=target.values,
    )


def _indices(source: DatasetSource, *, seed: int) -> list[NDArray[np.int64]]:
    """Return which examples are for test, for validation and for training: told before any is read."""
    train, val, *held_out = np.split(np.arange(sum(source.lengths)), np.cumsum(source.lengths)[:-1])
    if held_out:
        return [held_out[0], val, train]
    (test,) = random_split(len(train), (round(len(train) * TEST_SHARE),), seed=seed)
    return [test, val, np.setdiff1d(train, test, assume_unique=True)]


def _target(source: DatasetSource, passed: Passed, task: str) -> tuple[Target, list[Notice]]:
    errors: list[str] = []
    notices: list[Notice] = []
    y: NDArray[Any] = one_column(passed.y, f"{source.who}: the targets", errors, notices)
    if errors:
        raise DataError(errors)
    names = getattr(source.parts()[0], "classes", None)
    if isinstance(names, list | tuple) and y.dtype.kind in "iu" and y.max() < len(names):
        y = np.asarray([str(name) for name in names])[y]
    return target_of(y, source.who, task), notices


def _streamed_notices(source: DatasetSource, size: int, limit: MemoryLimit, given: str | None) -> tuple[Notice, ...]:
    """Return that the examples are streamed, why, and how they are told from others; ``size`` is that of one."""
    total = size * sum(source.lengths)
    if limit.named and not limit.size:
        why = f", as {limit} asks"
    elif limit.exceeded_by(total):
        why = f" would not fit in {limit}"
    else:
        why = " are read as when the study began"
    how = "--workers-per-trial N reads ahead"
    if source.workers:
        ahead = "1 process reads" if source.workers == 1 else f"{source.workers} processes read"
        how = f"{ahead} ahead for a trial"
    text = f"streamed: {gib(total)} of examples{why}; each epoch reads them anew, {how}"
    if given is not None:
        told = f"fingerprint: the function's own, {given!r:.60}"
    else:
        told = (
            f"fingerprint: of how many examples there are and of {SAMPLED} of each part; what changes elsewhere is not "
            "seen (a function's attribute fingerprint says what its data are)"
        )
    return Notice("streamed", text, sum(source.lengths)), Notice("stream_fingerprint", told)
