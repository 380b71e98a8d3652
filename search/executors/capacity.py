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

    @classmethod
    def of_nodes(cls) -> list[Capacity]:
        """Return what each node of the connected Ray cluster that is up has, in use or not."""
        import ray

        up = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return [cls(resources.get("CPU", 0), resources.get("GPU", 0)) for resources in up]

    def room_for(self, *, cpus: float, gpus: float) -> int:
        """Return how many shares of so many cores and GPUs fit; a fraction of a GPU is of one device."""
        fit = math.floor(self.cpus / cpus + 1e-9)
        if not gpus:
            return fit
        devices = math.floor(self.gpus)
        whole = gpus if gpus >= 1 else 1.0
        shares = math.floor(devices / whole + 1e-9) * math.floor(whole / gpus + 1e-9)
        return min(fit, shares + math.floor((self.gpus - devices) / gpus + 1e-9))

    def fit(self, resources: Resources) -> int:
        """Return how many trials have room at once."""
        return self.room_for(cpus=resources.cpus_per_trial, gpus=resources.gpus_per_trial)

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
    share = f"a trial takes {resources.cpus_per_trial:g} CPU and {resources.gpus_per_trial:g} GPU"
    return f"{_no_room(share, capacity)}, and the search starts when one is up"


def waiting_for_workers_line(capacity: Capacity, *, cpus: float, gpus: float) -> str:
    """Return what to tell a user of whose lane workers none is up."""
    share = f"a worker takes {cpus:g} CPU and {gpus:g} GPU"
    return f"{_no_room(share, capacity)} or free a share, and the search goes on when a worker is up"


def _no_room(share: str, capacity: Capacity) -> str:
    there = f"the cluster has {capacity.cpus:g} CPU and {capacity.gpus:g} GPU now"
    return f"waiting: {share}, and {there}; an autoscaler may add a node"
