"""What stands in the way of a study on this machine, told before anything starts."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

from search.declaration.options import Options, declare_from_options
from search.declaration.study import NAME, Resources, Study
from search.errors import UsageError
from search.executors.capacity import Capacity
from search.executors.choice import choose_executor
from trainables.errors import ConfigError
from trainables.machine import THIS_MACHINE, Machine
from trainables.registry import find_trainable
from trainables.user_model import ModelTrainable


def resolve(options: Options, machine: Machine = THIS_MACHINE) -> Study:
    """Return the study that ``options`` declare, with a name, checked against the machine and the home folder.

    Raises:
        UsageError: everything that is wrong, a line each.
    """
    study, errors = declare_from_options(options)
    if study is None:
        named = [] if options.resume or options.name is None else taken(options.name, options.home)
        errors += [*named, *home_errors(options.home)]
    else:
        study = study if study.name else study.model_copy(update={"name": fresh_name(study.kind, options.home)})
        errors += obstacles(study, options.home, resumes=options.resume, machine=machine)
    if errors or study is None:
        raise UsageError(tuple(dict.fromkeys(errors)))
    return study


def obstacles(study: Study, home: Path, *, resumes: bool = False, machine: Machine = THIS_MACHINE) -> list[str]:
    """Return why a valid study cannot begin here, or go on if it ``resumes``, a line each; empty if it can."""
    errors = [] if resumes else taken(study.name, home)
    try:
        choose_executor(study)
    except UsageError as error:
        errors += error.errors
    if isinstance(trainable := find_trainable(study.trainable), ModelTrainable):
        try:
            trainable.function()
        except ConfigError as error:
            errors += error.errors
    return errors + preflight(study, home, machine)


def preflight(study: Study, home: Path, machine: Machine = THIS_MACHINE) -> list[str]:
    """Return what stands in the way of ``study`` on the machine, a line each; empty if nothing does."""
    return [*home_errors(home), *_capacity_errors(study.resources, machine), *_precision_errors(study, machine)]


def home_errors(home: Path) -> list[str]:
    """Return what is wrong with the folder of all studies; it need not exist yet."""
    # os.path.exists: below a folder without permission, Path.exists raises
    existing = next(p for p in (home.absolute(), *home.absolute().parents) if os.path.exists(p))
    if not existing.is_dir():
        return [f"--home {home}: {existing} is no folder"]
    if not os.access(existing, os.W_OK | os.X_OK):
        return [f"--home {home} cannot be written: no permission in {existing}"]
    return []


def _capacity_errors(resources: Resources, machine: Machine) -> list[str]:
    if resources.address is not None:
        if resources.address.startswith("ray://"):
            return [
                f"--address {resources.address}: a search cannot drive a cluster through Ray Client; submit it as "
                "a job: ray job submit --address http://HOST:8265 -- python -m search.run STUDY --address auto"
            ]
        return []  # the cluster is asked once it is joined
    gpus_asked = {"--gpus-per-trial": resources.gpus_per_trial, "--gpus-per-worker": resources.gpus_per_worker}
    cpus_asked = {"--cpus-per-trial": resources.cpus_per_trial, "--cpus-per-worker": resources.cpus_per_worker}
    capacity = Capacity.of(machine, with_gpus=any(gpus_asked.values()))
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


def _precision_errors(study: Study, machine: Machine) -> list[str]:
    """Return why the lanes cannot train in the precision that was asked for; looks only where one was."""
    if study.lanes.precision != "bf16" or study.resources.address is not None:
        return []
    import torch

    device = torch.device("cuda" if study.resources.gpus_per_worker > 0 and machine.gpus else "cpu")
    if machine.multiplies_bf16(device):
        return []
    return [
        f"--precision bf16 is not offered by the {device.type} of this machine; use fp32, or auto to take what fits"
    ]


def taken(name: str, home: Path) -> list[str]:
    """Return why no study called ``name`` can begin in ``home``, if it is there already."""
    if not NAME.fullmatch(name) or not os.path.exists(home / name):
        return []
    return [
        f"--name {name}: a study of this name exists in {home.absolute()}; "
        "choose another, leave --name out, or continue it with --resume"
    ]


def fresh_name(kind: str, home: Path) -> str:
    """Return a name that no study in ``home`` has: the kind, the time, and some letters if need be."""
    name = f"{kind}-{time.strftime('%Y%m%d-%H%M%S')}"
    return name if not os.path.exists(home / name) else f"{name}-{secrets.token_hex(3)}"
