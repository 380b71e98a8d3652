"""How many lane workers a Ray cluster has room for, what each is given, and how many of them a study can use."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from search.declaration.study import Study
from search.executors.capacity import Capacity, waiting_for_workers_line
from search.executors.choice import SHARE_AT_ONCE
from search.executors.lane_workers import worker_cores
from trainables.data.parts import counted
from trainables.registry import find_trainable

FEWEST_LANES = 4
"""Lanes of a worker for which another is worth its process: narrower stacks cost more per trial."""

JOINING_SHARE = 2
"""With workers that join a search under way, it may have one in this many of its trials at once: its first results are
in by then, so less of what is proposed is proposed blindly than at its start (``SHARE_AT_ONCE``)."""


@dataclass(frozen=True)
class Fleet:
    """The workers of a study on the Ray that is connected.

    Attributes:
        study: the declaration.
        cpus, gpus: of each worker.
        first: how many workers there are at first.
        elastic: whether more are started as nodes come.
    """

    study: Study
    cpus: float
    gpus: float
    first: int
    elastic: bool

    @classmethod
    def of(cls, study: Study, nodes: Sequence[Capacity]) -> Fleet:
        """Return the workers that a study asks for, or has room for on ``nodes`` where it names no number.

        Without ``gpus_per_worker`` a worker has a GPU where a node of the cluster has one. There is one worker at
        least, though there be no room for it: an autoscaler adds a node for what waits.
        """
        resources = study.resources
        gpus = resources.gpus_per_worker
        if gpus is None:
            gpus = 1.0 if resources.address is not None and any(node.gpus >= 1 for node in nodes) else 0.0
        elastic = resources.address is not None and resources.workers is None
        fleet = cls(study, worker_cores(study, together(nodes)), gpus, resources.workers or 1, elastic)
        if not elastic:
            return fleet
        lanes = study.lanes.lanes
        if not isinstance(lanes, int):
            lanes = FEWEST_LANES if find_trainable(study.trainable).stacks else 1
        useful = math.ceil(study.budget.trials / SHARE_AT_ONCE) // lanes
        return cls(study, fleet.cpus, gpus, max(1, min(fleet.room(nodes), useful)), elastic)

    def room(self, nodes: Sequence[Capacity]) -> int:
        """Return how many workers have room on the nodes, whatever else runs there: those that find none wait."""
        return sum(node.room_for(cpus=self.cpus, gpus=self.gpus) for node in nodes)

    def wanted(self, nodes: Sequence[Capacity], *, lanes: int) -> int:
        """Return how many workers there should be once the search is under way, each with ``lanes`` lanes."""
        if not self.elastic:
            return self.first
        useful = self.study.budget.trials // JOINING_SHARE // lanes
        return max(self.first, min(self.room(nodes), useful))

    def no_room_line(self, nodes: Sequence[Capacity]) -> str:
        """Return why a study that asks for more workers than this machine has room for is refused."""
        there = together(nodes)
        asked = f"{counted(self.first, 'worker')} of {self.cpus:g} CPU and {self.gpus:g} GPU"
        return (
            f"{asked}{' each' if self.first > 1 else ''} {'do' if self.first > 1 else 'does'} not fit on this machine, "
            f"which has {there.cpus:g} CPU and {there.gpus:g} GPU: lower --workers, --cpus-per-worker or "
            "--gpus-per-worker"
        )

    def waiting_line(self, nodes: Sequence[Capacity]) -> str:
        """Return what to tell a user while no worker is up."""
        return waiting_for_workers_line(together(nodes), cpus=self.cpus, gpus=self.gpus)


def together(nodes: Sequence[Capacity]) -> Capacity:
    """Return what all nodes have."""
    return Capacity(sum(node.cpus for node in nodes), sum(node.gpus for node in nodes))
