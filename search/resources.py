"""Devices, shares of them, and the checks before a search starts."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from search.study import Resources, Study


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


def preflight(study: Study, home: Path) -> list[str]:
    """Return what stands in the way of ``study`` on this machine, a line each; empty if nothing does."""
    return [*home_errors(home), *_capacity_errors(study.resources), *_precision_errors(study)]


def home_errors(home: Path) -> list[str]:
    """Return what is wrong with the folder of all studies; it need not exist yet."""
    # os.path.exists: below a folder without permission, Path.exists raises
    existing = next(p for p in (home.absolute(), *home.absolute().parents) if os.path.exists(p))
    if not existing.is_dir():
        return [f"--home {home}: {existing} is no folder"]
    if not os.access(existing, os.W_OK | os.X_OK):
        return [f"--home {home} cannot be written: no permission in {existing}"]
    return []


def _capacity_errors(resources: Resources) -> list[str]:
    if resources.address is not None:
        if resources.address.startswith("ray://"):
            return [
                f"--address {resources.address}: a search cannot drive a cluster through Ray Client; submit it as "
                "a job: ray job submit --address http://HOST:8265 -- python -m search.run STUDY --address auto"
            ]
        return []  # the cluster is asked once it is joined
    gpus_asked = {"--gpus-per-trial": resources.gpus_per_trial, "--gpus-per-worker": resources.gpus_per_worker}
    cpus_asked = {"--cpus-per-trial": resources.cpus_per_trial, "--cpus-per-worker": resources.cpus_per_worker}
    capacity = Capacity.of_this_machine(with_gpus=any(gpus_asked.values()))
    errors = [
        f"{option} {cpus:g} is more than the {capacity.cpus:g} cores here"
        for option, cpus in cpus_asked.items()
        if cpus > capacity.cpus
    ]
    found = f"{capacity.gpus:g} found" if capacity.gpus else "no GPU found"
    errors += [
        f"{option} {gpus:g}: {found} on this machine; use 0 for CPU, or --address to join a cluster that has one"
        for option, gpus in gpus_asked.items()
        if gpus > capacity.gpus
    ]
    workers = resources.workers or 1
    if not errors and resources.gpus_per_worker * workers > capacity.gpus:
        errors.append(
            f"--workers {workers} of --gpus-per-worker {resources.gpus_per_worker:g} need "
            f"{resources.gpus_per_worker * workers:g} GPUs: {found} on this machine"
        )
    return errors


def _precision_errors(study: Study) -> list[str]:
    """Return why the lanes cannot train in the precision that was asked for; looks only where one was."""
    if study.lanes.precision != "bf16" or study.resources.address is not None:
        return []
    import torch

    from trainables.lanes.products import has_bf16

    device = torch.device("cuda" if study.resources.gpus_per_worker > 0 and torch.cuda.is_available() else "cpu")
    if has_bf16(device):
        return []
    return [
        f"--precision bf16 is not offered by the {device.type} of this machine; use fp32, or auto to take what fits"
    ]
