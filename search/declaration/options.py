"""Every option of the main command, once: its type, its words, the field of the study that it sets, its group.

The command's parameters and its help, the checks' messages in a user's own words, and what a file may say instead are
made of this table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path

from search.declaration.option import OPTION, Group, Option, option, parse_duration, parse_lanes
from trainables.mistake import Path as Place
from trainables.mistake import dotted


@dataclass(frozen=True)
class Options:
    """The options as typed; None where one was not, so that the study's own value stays."""

    kind: str | None = option(
        "Which question; `python -m search list` shows all. Or --config FILE.", Group.STUDY, metavar="[STUDY]"
    )
    config: Path | None = option("YAML file that declares the study; options go before what it says.", Group.STUDY)
    name: str | None = option("Name of the run. [default: the study and the time]", Group.STUDY, sets="name")
    home: Path = option("Folder of all studies.", Group.STUDY, default=Path("lanewise-home"), about=("home",))
    seed: int | None = option("Seed for sampling, splits, training.", Group.STUDY, sets="seed")
    resume: bool = option(
        "Continue the study NAME as recorded; start it where there is none.",
        Group.STUDY,
        default=False,
        about=("resume",),
    )
    accept_changed_model: bool = option(
        "Continue though the trainable's source has changed.", Group.STUDY, default=False
    )

    trials: int | None = option("How many configurations to try.", Group.BUDGET, sets="budget.trials")
    max_epochs: int | None = option("Epochs per trial, at most.", Group.BUDGET, sets="budget.max_epochs")
    time_budget: str | None = option(
        "End after this long: 90s, 10m, 1h30m.", Group.BUDGET, sets="budget.time_s", read=parse_duration
    )
    until_gain_below: float | None = option(
        "End once twice the trials are expected to gain less than this.",
        Group.BUDGET,
        sets="budget.until_gain_below",
        metavar="GAIN",
    )

    no_confirm: bool = option(
        "Leave out the confirmation: the best 3 and the baseline on 5 fresh seeds and splits.",
        Group.BUDGET,
        default=False,
        about=("confirm.pairs",),
    )
    no_ablate: bool = option(
        "Leave out what each parameter of the winner is worth.", Group.BUDGET, default=False, about=("confirm.ablate",)
    )

    dataset: str | None = option(
        "A named data set, such as digits; `list` shows all.", Group.DATA, about=("data.name",)
    )
    data: str | None = option(
        "table:FILE, images:FOLDER, python:MODULE:FUNCTION, or a named data set. [default: the study's]",
        Group.DATA,
        about=("data", "data.source", "data.path"),
    )
    target: str | None = option("The column of a table to predict.", Group.DATA, about=("data.target",))
    task: str | None = option(
        "Task of a table: classification, regression or auto. [default: auto]", Group.DATA, about=("data.task",)
    )
    drop: Sequence[str] = option(
        "Leave out this column of a table; may be repeated.", Group.DATA, default=(), about=("data.drop",)
    )
    missing: Sequence[str] = option(
        "This word in a table is a missing value; may be repeated.",
        Group.DATA,
        default=(),
        about=("data.missing",),
        metavar="WORD",
    )
    as_: Sequence[str] = option(
        "Read a column so: COLUMN=number, text or date; may be repeated.",
        Group.DATA,
        default=(),
        about=("data.read_as",),
        metavar="COLUMN=KIND",
    )
    separator: str | None = option(
        "Between a text file's columns: a character, or tab. [default: by looking]",
        Group.DATA,
        about=("data.separator",),
    )
    decimal: str | None = option(
        "A text file's decimal mark, . or , [default: by looking]", Group.DATA, about=("data.decimal",)
    )
    encoding: str | None = option(
        "A text file's encoding, such as cp1252. [default: by looking]", Group.DATA, about=("data.encoding",)
    )
    val_file: Path | None = option(
        "Table of the validation rows. [default: cut from --data]", Group.DATA, about=("data.val_file",), metavar="FILE"
    )
    test_file: Path | None = option(
        "Table of the test rows. [default: cut from --data]", Group.DATA, about=("data.test_file",), metavar="FILE"
    )
    group: str | None = option(
        "Rows with one value of this column are never in two parts.",
        Group.DATA,
        about=("data.group",),
        metavar="COLUMN",
    )
    time: str | None = option(
        "The latest rows by this column are for test, those before for validation.",
        Group.DATA,
        about=("data.time",),
        metavar="COLUMN",
    )
    weight: str | None = option(
        "How much each row counts in the training loss.", Group.DATA, about=("data.weight",), metavar="COLUMN"
    )
    class_weight: str | None = option(
        "balanced: every class counts alike in the training loss.",
        Group.DATA,
        about=("data.class_weight",),
        metavar="balanced",
    )
    folds: int | None = option(
        "K-fold cross-validation: a trial trains on each fold, and its metrics are the means.",
        Group.DATA,
        about=("data.folds",),
        metavar="K",
    )
    image_size: int | None = option(
        "Width and height of your images. [32; transfer: 64]", Group.DATA, about=("data.image_size",)
    )
    background: str | None = option(
        "Colour under your images where these are transparent: white, black, #ff8800. [default: white]",
        Group.DATA,
        about=("data.background",),
    )
    memory_mb: int | None = option(
        "MiB that your images or a function's examples may take; more is not held. [half of the free]",
        Group.DATA,
        about=("data.memory_mb",),
    )
    workers_per_trial: int | None = option(
        "Processes that read a trial's streamed examples ahead. [0]", Group.DATA, about=("data.workers_per_trial",)
    )
    data_dir: Path | None = option("Where torchvision's data sets lie.", Group.DATA, about=("data.data_dir",))
    download: bool = option(
        "Let torchvision download data and weights.", Group.DATA, default=False, about=("data.download",)
    )
    train_examples: int | None = option("Train on only this many examples.", Group.DATA, about=("data.train_examples",))

    model: str | None = option(
        "Your own model: what the function returns.", Group.MODEL, metavar="PACKAGE.MODULE:FUNCTION"
    )
    train: str | None = option(
        "Your own training loop: the function that is called with a trial.",
        Group.MODEL,
        metavar="PACKAGE.MODULE:FUNCTION",
    )
    backbone: str | None = option(
        "Backbone of a transfer: narrow_resnet, resnet18, or another of torchvision's models.",
        Group.MODEL,
        about=("settings.backbone",),
    )
    weights: str | None = option(
        "Weights of the backbone: cifar10 (shipped), source (learned here), imagenet, a file, or none.",
        Group.MODEL,
        about=("settings.weights",),
    )
    source_data: str | None = option(
        "What `source` learns from. [default: the other half of the classes]",
        Group.MODEL,
        about=("settings.source_data",),
    )

    set_: Sequence[str] = option(
        "Also PARAM.low=, PARAM.high=, PARAM.choices=a,b.", Group.SPACE, default=(), metavar="PARAM=VALUE"
    )
    space: Path | None = option(
        "YAML file of the same changes; with --train and no STUDY, the whole space.", Group.SPACE
    )

    objective: Sequence[str] = option(
        "Repeated: what is weighed against the first. [val_loss]",
        Group.SEARCH,
        default=(),
        about=("objective", "objective.metric", "objective.mode", "further"),
        metavar="METRIC[:min|max]",
    )
    metric: Sequence[str] = option(
        "Report this too: val_macro_f1, val_roc_auc ...; may be repeated.", Group.SEARCH, default=(), sets="metrics"
    )
    from_: str | None = option(
        "Train the K best configurations of this earlier study first. [K: 5]",
        Group.SEARCH,
        sets="warm_start",
        metavar="NAME[:K]",
    )
    sampler: str | None = option("tpe, random, gp, cmaes, qmc, nsga2 or optuna_tpe.", Group.SEARCH, sets="sampler")
    scheduler: str | None = option("asha, median, none, promote or freeze_thaw.", Group.SEARCH, sets="scheduler.name")
    grace: int | None = option("Epochs every trial gets: the first rung.", Group.SEARCH, sets="scheduler.grace")
    reduction_factor: int | None = option(
        "One trial in this many passes a rung.", Group.SEARCH, sets="scheduler.reduction_factor"
    )
    audit_fraction: float | None = option(
        "Share of the pruned trials that train on after the search, to tell what pruning cost.",
        Group.SEARCH,
        sets="scheduler.audit_fraction",
        metavar="SHARE",
    )
    paused_mb: float | None = option(
        "Megabytes of memory for paused trials; beyond them their states go to disk. [default: 1024]",
        Group.SEARCH,
        sets="scheduler.paused_mb",
        metavar="MB",
    )
    total_epochs: int | None = option(
        "Epochs that promote or freeze_thaw may train. [default: freeze_thaw 1/4 of TRIALS x EPOCHS]",
        Group.SEARCH,
        sets="scheduler.total_epochs",
        metavar="N",
    )
    epochs_a_choice: int | None = option(
        "Epochs that each choice of freeze_thaw is for, after the first 64. [default: measured]",
        Group.SEARCH,
        sets="scheduler.epochs_a_choice",
        metavar="N",
    )

    executor: str | None = option("auto, lanes or tune.", Group.PLACE, sets="executor")
    cpus_per_trial: float | None = option("Cores of a trial.", Group.PLACE, sets="resources.cpus_per_trial")
    gpus_per_trial: float | None = option(
        "GPUs of a trial; a fraction shares one.", Group.PLACE, sets="resources.gpus_per_trial"
    )
    lanes: str | None = option(
        "Trials that one worker trains at once; `auto` measures. [default: 1/4, <= 32]",
        Group.PLACE,
        sets="lanes.lanes",
        read=parse_lanes,
    )
    lane_mode: str | None = option(
        "stacked, looped, auto: whichever is measured faster, or usual. [default: usual]",
        Group.PLACE,
        sets="lanes.mode",
    )
    precision: str | None = option(
        "Precision of lanes: fp32, bf16 or auto. [default: fp32]", Group.PLACE, sets="lanes.precision"
    )
    cpus_per_worker: float | None = option(
        "Cores of a lanes worker on Ray. [default: 1, or all for side_by_side]",
        Group.PLACE,
        sets="resources.cpus_per_worker",
    )
    gpus_per_worker: float | None = option(
        "GPUs of a lanes worker. [default: 0; on a cluster that has some 1]",
        Group.PLACE,
        sets="resources.gpus_per_worker",
    )
    workers: int | None = option(
        "tune: most trials at once; lanes: worker processes, on Ray if above 1. [default: as many as fit on a "
        "cluster; else tune: as many as fit, lanes: 1]",
        Group.PLACE,
        sets="resources.workers",
    )
    address: str | None = option(
        "Join this Ray cluster (`auto` finds it).",
        Group.PLACE,
        sets="resources.address",
        address="resources.address",
    )
    ledger: str | None = option(
        "Database: postgresql+psycopg://USER@HOST/NAME. [default: SQLite in the home]",
        Group.PLACE,
        sets="ledger",
        address="ledger",
    )

    tracking: str | None = option(
        "MLflow URI, or `offline`. [default: sqlite in the home]",
        Group.TRACKING,
        about=("tracking", "tracking.uri", "tracking.enabled"),
        address="tracking.uri",
    )
    untracked_ok: bool = option(
        "Search even where MLflow does not answer; what could not be sent is sent when it does, "
        "or by `search sync NAME`.",
        Group.TRACKING,
        default=False,
        about=("tracking.untracked_ok",),
    )

    checkpoint_every: float | None = option("Seconds between checkpoints.", Group.FAULTS, sets="checkpoint_every_s")
    keep_checkpoints: int | None = option(
        "How many finished trials keep their best model, the baseline besides; 0: none. [default: 3]",
        Group.FAULTS,
        sets="keep_checkpoints",
    )
    max_failures: int | None = option(
        "How often a trial whose process died is started again. [default: 3]", Group.FAULTS, sets="faults.max_failures"
    )
    abort_after_failures: int | None = option(
        "End the search after so many failed trials.", Group.FAULTS, sets="faults.abort_after"
    )
    trial_timeout: float | None = option(
        "End a trial that reports nothing for so many seconds.", Group.FAULTS, sets="faults.trial_timeout_s"
    )

    dry_run: bool = option("Print the resolved study; start nothing.", Group.OUTPUT, default=False)
    quiet: bool = option("Leave out the progress and the chart.", Group.OUTPUT, default=False)
    json_: bool = option("Print one JSON object instead of text.", Group.OUTPUT, default=False)


@cache
def table() -> dict[str, Option]:
    """Return every option by the name of its attribute, with its flag."""
    return {f.name: _flagged(f.name, f.metadata[OPTION]) for f in fields(Options)}


@cache
def flags() -> dict[str, str]:
    """Return the option that sets a field of the study, or stands for it, by the field's dotted name."""
    return {name: entry.flag for entry in table().values() for name in (entry.sets, *entry.about) if name}


@cache
def addresses() -> dict[str, str]:
    """Return the option that gives each field of a study that is an address, by the field's dotted name."""
    return {entry.address: entry.flag for entry in table().values() if entry.address}


def flag_of(path: Place) -> str:
    """Return what a user typed to set a field: the option, or the parameter's name after ``--set``."""
    for length in range(len(path), 0, -1):
        if (flag := flags().get(dotted(path[:length]))) is not None:
            return flag
    if path[:1] in (("space",), ("set",), ("settings",)) and len(path) > 1:
        return dotted(path[1:])
    return dotted(path)


def _flagged(name: str, entry: Option) -> Option:
    flag = "" if name == "kind" else f"--{name.rstrip('_').replace('_', '-')}"
    return replace(entry, flag=flag)
