"""Obstacles to a study on a machine, told before anything starts."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from search.credentials import masked
from search.declaration.from_options import declare_from_options, in_options
from search.declaration.options import Options
from search.declaration.study import NAME, Resources, Study
from search.drive.warm_start import warm_started
from search.errors import UsageError
from search.executors.capacity import Capacity
from search.executors.choice import executor_mistakes
from search.executors.ray_obstacles import ray_mistakes
from search.ledger.paths import reserved
from trainables.address_space import narrow_address_space
from trainables.machine import THIS_MACHINE, Machine
from trainables.mistake import Mistake
from trainables.mistake import Path as Place
from trainables.protocols import IsUserCode
from trainables.registry import find_trainable

LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Of which the end of a name is drawn: those that are not taken for one another."""
HOME, RESOURCES = ("home",), ("resources",)


def resolve(
    options: Options, machine: Machine = THIS_MACHINE, *, declared: Callable[[Study], object] = lambda study: None
) -> Study:
    """Return the study that ``options`` declare, with a name, checked against the machine and the home folder.

    Args:
        options: of the command.
        machine: where it is to run.
        declared: called with a study that an executor can run, before code of the user's own is imported.

    Raises:
        UsageError: everything that is wrong, a line each.
    """
    study, errors = declare_from_options(options)
    if study is None:
        named = [] if options.resume or options.name is None else taken(options.name, options.home)
        errors += in_options([*named, *home_mistakes(options.home)])
    else:
        study = study if study.name else study.model_copy(update={"name": fresh_name(study.kind, options.home)})
        study, unseated = warm_started(study, options.home, resumes=options.resume)
        errors += in_options(unseated)
        if not errors and not executor_mistakes(study):
            declared(study)
        errors += in_options(obstacles(study, options.home, resumes=options.resume, machine=machine))
    if errors or study is None:
        raise UsageError(tuple(dict.fromkeys(errors)))
    return study


def obstacles(study: Study, home: Path, *, resumes: bool = False, machine: Machine = THIS_MACHINE) -> list[Mistake]:
    """Return why a valid study cannot begin on a machine, or go on there if it ``resumes``; empty if it can."""
    found = [] if resumes else taken(study.name, home) + stored_secrets(study)
    unfit = executor_mistakes(study)
    found += unfit or ray_mistakes(study, Path.cwd())
    if isinstance(trainable := find_trainable(study.trainable), IsUserCode):
        found += [Mistake(("trainable",), line, whole=True) for line in trainable.import_mistakes()]
    return found + preflight(study, home, machine)


def stored_secrets(study: Study) -> list[Mistake]:
    """Return the texts of a study with a password or a token in an address: they would be stored and sent.

    The fields that are addresses have none by now; this finds a setting of somebody's own training function, say.
    """
    found: list[Mistake] = []

    def look(value: object, path: Place) -> None:
        if isinstance(value, Mapping):
            for name, inner in value.items():
                look(inner, (*path, str(name)))
        elif isinstance(value, list):
            for i, inner in enumerate(value):
                look(inner, (*path, i))
        elif isinstance(value, str) and "://" in value and masked(value) != value:
            rule = "{value} has a password or a token in it, which the ledger and MLflow would keep"
            hint = "let your own code read it from the environment"
            found.append(Mistake(path, rule, masked(value), hint=hint))

    look(study.model_dump(mode="json"), ())
    return found


def preflight(study: Study, home: Path, machine: Machine = THIS_MACHINE) -> list[Mistake]:
    """Return what stands in the way of ``study`` on the machine; empty if nothing does."""
    if (narrow := narrow_address_space()) is not None:
        return [*home_mistakes(home), Mistake(("resources",), narrow, whole=True)]  # what else is asked loads torch
    return [*home_mistakes(home), *_capacity_mistakes(study.resources, machine), *_precision_mistakes(study, machine)]


def home_mistakes(home: Path) -> list[Mistake]:
    """Return what is wrong with the folder of all studies; it need not exist yet."""
    if not _is_a_line(path := str(home.absolute())):
        rule = f"{path!r}: a line break, or a byte that is no text, in a path cannot be written down in a line"
        return [Mistake(HOME, rule, hint="choose another, or rename the folder")]
    # os.path.exists: below a folder without permission, Path.exists raises
    existing = next(p for p in (home.absolute(), *home.absolute().parents) if os.path.exists(p))
    if not existing.is_dir():
        return [Mistake(HOME, f"{home}: {existing} is no folder")]
    if not os.access(existing, os.W_OK | os.X_OK):
        return [Mistake(HOME, f"{home} cannot be written: no permission in {existing}")]
    return []


def _is_a_line(path: str) -> bool:
    """Say whether a path is text of one line, as the ledger, MLflow and whatever is printed need it."""
    try:
        path.encode()
    except UnicodeEncodeError:  # bytes of a name that are no UTF-8
        return False
    return path.splitlines() == [path]


def _capacity_mistakes(resources: Resources, machine: Machine) -> list[Mistake]:
    address = resources.address
    if address is not None:
        if not address.startswith("ray://"):
            return []  # the cluster is asked once it is joined
        submit = "ray job submit --address http://HOST:8265 -- python -m search.run STUDY --address auto"
        rule = f"{address}: a search cannot drive a cluster through Ray Client; submit it as a job: {submit}"
        return [Mistake((*RESOURCES, "address"), rule)]
    gpus_asked = {name: getattr(resources, name) or 0.0 for name in ("gpus_per_trial", "gpus_per_worker")}
    cpus_asked = {name: getattr(resources, name) for name in ("cpus_per_trial", "cpus_per_worker")}
    capacity = Capacity.of(machine, with_gpus=any(gpus_asked.values()))
    mistakes = [
        Mistake((*RESOURCES, name), f"{cpus:g} is more than the {capacity.cpus:g} cores here")
        for name, cpus in cpus_asked.items()
        if cpus is not None and cpus > capacity.cpus
    ]
    found = f"{capacity.gpus:g} found on this machine" if capacity.gpus else "no GPU found on this machine"
    mistakes += [
        Mistake(
            (*RESOURCES, name),
            f"{gpus:g}: {found}",
            hint="use 0 for CPU, or {0} to join a cluster that has one",
            others=((*RESOURCES, "address"),),
        )
        for name, gpus in gpus_asked.items()
        if gpus > capacity.gpus
    ]
    workers, each = resources.workers or 1, resources.gpus_per_worker or 0.0
    if not mistakes and each * workers > capacity.gpus:
        rule = f"{workers} of {{0}} {each:g} need {each * workers:g} GPUs: {found}"
        mistakes.append(Mistake((*RESOURCES, "workers"), rule, others=((*RESOURCES, "gpus_per_worker"),)))
    return mistakes


def _precision_mistakes(study: Study, machine: Machine) -> list[Mistake]:
    """Return why the lanes cannot train in the precision that was asked for; looks only where one was."""
    if study.lanes.precision != "bf16" or study.resources.address is not None:
        return []
    import torch

    device = torch.device("cuda" if study.resources.gpus_per_worker and machine.gpus else "cpu")
    if machine.multiplies_bf16(device):
        return []
    rule = f"bf16 is not offered by the {device.type} of this machine"
    return [Mistake(("lanes", "precision"), rule, hint="use fp32, or auto to take what fits")]


def taken(name: str, home: Path) -> list[Mistake]:
    """Return why no study called ``name`` can begin in ``home``: it is there already, or the name is not to be had."""
    if reserved(name):
        rule = f"{name}: a file of MLflow in the home has such a name"
        return [Mistake(("name",), rule, hint="choose another, or leave {0} out", others=(("name",),))]
    if not NAME.fullmatch(name) or not os.path.exists(home / name):
        return []
    rule = f"{name}: a study of this name exists in {home.absolute()}"
    hint = "choose another, leave {0} out, or continue it with {1}"
    return [Mistake(("name",), rule, hint=hint, others=(("name",), ("resume",)))]


def fresh_name(kind: str, home: Path) -> str:
    """Return a name that no study has, in this home or, for a shared database, in another: the kind, the time, letters.

    Searches that start at the same moment draw from a million endings; what two of them drew all the same is refused
    to the second, by the lock in its folder.
    """
    while True:
        drawn = "".join(secrets.choice(LETTERS) for _ in range(4))
        name = f"{kind}-{time.strftime('%m%d-%H%M')}-{drawn}"
        if not os.path.exists(home / name):
            return name
