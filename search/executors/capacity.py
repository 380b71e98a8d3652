"""Cores and GPUs, and how many trials have room among them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from search.declaration.study import Resources
from trainables.machine import Machine


@dataclass(frozen=True)
class Capacity:
    """What trials can be given.

    Attributes:
        cpus: cores.
        gpus: devices.
    """

    cpus: float
    gpus: float

    @classmethod
    def of(cls, machine: Machine, *, with_gpus: bool) -> Capacity:
        """Return the cores of a machine and, where asked for, its CUDA devices.

        Counting GPUs imports torch, which takes seconds; leave it out where no GPU is asked for.
        """
        return cls(machine.cores, machine.gpus if with_gpus else 0)

    @classmethod
    def of_ray(cls) -> Capacity:
        """Return what the connected Ray cluster has now; an autoscaler may add to it."""
        import ray

        total = ray.cluster_resources()
        return cls(total.get("CPU", 0), total.get("GPU", 0))

    def fit(self, resources: Resources) -> int:
        """Return how many trials have room at once."""
        fit = math.floor(self.cpus / resources.cpus_per_trial + 1e-9)
        if resources.gpus_per_trial:
            fit = min(fit, math.floor(self.gpus / resources.gpus_per_trial + 1e-9))
        return fit

    def slots(self, resources: Resources) -> int:
        """Return how many trials run at once: as many as fit, at most ``resources.workers``, at least 1."""
        fit = self.fit(resources)
        return max(1, fit if resources.workers is None else min(fit, resources.workers))


def at_once(capacity: Capacity, resources: Resources) -> int:
    """Return how many trials to run, or to have waiting, at once.

    On a cluster ``--workers`` may ask for more than is there, so that an autoscaler sees the need.
    """
    if resources.address is not None and resources.workers is not None:
        return resources.workers
    return capacity.slots(resources)


def waiting_line(capacity: Capacity, resources: Resources) -> str:
    """Return what to tell a user whose first trial fits nowhere in the cluster yet."""
    return (
        f"waiting: a trial takes {resources.cpus_per_trial:g} CPU and {resources.gpus_per_trial:g} GPU, and the "
        f"cluster has {capacity.cpus:g} CPU and {capacity.gpus:g} GPU now; an autoscaler may add a node, "
        "and the search starts when one is up"
    )
