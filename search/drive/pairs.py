"""The pairs of a study: the same seeds and re-splits for every configuration, in every session."""

from __future__ import annotations

from dataclasses import replace

from search.declaration.study import Study
from search.drive.examples import extra_metrics
from search.executors.fits import NumberedPair
from trainables.data.datasets import Pair, load_pair
from trainables.derive import derive
from trainables.stage import stage

HELD_BYTES = 512 << 20
"""Bytes of pairs that are held at once; beyond, one is read again where it is needed again."""


class Pairs:
    """Loads pairs by their numbers.

    Args:
        study: the declaration: its data and its seed are all that a pair depends on.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        self._held: dict[int, NumberedPair] = {}
        self._bytes = 0

    def load(self, number: int) -> NumberedPair:
        """Return a pair.

        Raises:
            DataError: there are too few examples for a re-split, or the data cannot be read.
        """
        if number in self._held:
            return self._held[number]
        with stage(f"cutting pair {number + 1} of {self._study.data.name}"):
            data = load_pair(self._study.data, seed=derive(self._study.seed, "pair", number))
        data = replace(data, splits=replace(data.splits, extra_metrics=extra_metrics(self._study, data.splits)))
        pair = NumberedPair(number, derive(self._study.seed, "confirm", number), data)
        size = _bytes(data)
        if self._bytes + size <= HELD_BYTES:
            self._held[number] = pair
            self._bytes += size
        return pair


def _bytes(pair: Pair) -> int:
    parts = (pair.splits.train, pair.splits.val, pair.scored, pair.test)
    return sum(part.x.nbytes + part.y.nbytes for part in parts)
