"""Cores and GPUs, and how many trials have room among them."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from search.declaration.study import Resources


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
    def of_this_machine(cls, *, with_gpus: bool) -> Capacity:
        """Return the cores this process may use and, where asked for, the CUDA devices.

        Counting GPUs imports torch, which takes seconds; leave it out where no GPU is asked for.
        """
        gpus = 0
        if with_gpus:
            import torch

            gpus = torch.cuda.device_count()
        return cls(len(os.sched_getaffinity(0)), gpus)

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
