"""A study's examples: read, and checked against what the study asks of them."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from search.declaration.study import Study
from search.declaration.unread import judge_unread
from search.errors import UsageError
from search.executors.choice import choose_executor
from trainables.data import Splits, load_splits
from trainables.data.class_balance import rare_classes
from trainables.data.target import TASK_NOTICE
from trainables.errors import ConfigError, DataError
from trainables.metrics import METRICS
from trainables.notice import Notice, TryOut
from trainables.protocols import CanTryOut, ChecksFit
from trainables.registry import TRAINABLES, USER_MODEL_PREFIX, find_trainable
from trainables.stage import stage

METRICS_OF_RARE = ("val_balanced_accuracy", "val_macro_f1")
"""What tells more than the accuracy where a class is rare."""


def load_data(study: Study) -> Splits:
    """Return the study's examples.

    Raises:
        UsageError: they are absent or unfit; the message names the path and the flag that helps.
    """
    try:
        with stage(f"reading the data {study.data.name}"):
            splits = load_splits(study.data)
    except DataError as error:
        raise UsageError(error.errors) from None
    with stage(f"trying out {study.trainable} on the data"):
        found = try_study(study, splits)
    if found.errors:
        raise UsageError(found.errors)
    named, reported = study.extra_metrics, extra_metrics(study, splits)
    notices = (*splits.notices, *found.notices)
    if added := [name for name in reported if name not in named]:
        notices = (*notices, Notice("rare_metrics", f"reported too, as a class is rare: {', '.join(added)}"))
    return dataclasses.replace(splits, extra_metrics=reported, notices=notices)


def extra_metrics(study: Study, splits: Splits) -> tuple[str, ...]:
    """Return the metrics that are computed because the study names them, or because a class is rare."""
    rare = METRICS_OF_RARE if rare_classes(splits.class_counts) else ()
    known = find_trainable(study.trainable).metrics or ()  # a training function reports what it likes
    return tuple(dict.fromkeys((*study.extra_metrics, *(name for name in rare if name in known))))


def try_study(study: Study, splits: Splits) -> TryOut:
    """Return why the study cannot run on its data, which is known only once they are read, and what else to know."""
    errors, notices = _metric_errors(study, splits), list[Notice]()
    trainable = find_trainable(study.trainable)
    if isinstance(trainable, ChecksFit | CanTryOut):
        configs = []
        for point in (study.space.baseline, *study.space.corners(), *study.space.pairs()):
            try:
                configs.append(trainable.configure(study.params_of(point), max_epochs=study.budget.max_epochs))
            except ConfigError as error:  # two values that are each valid alone
                errors += error.errors
        if isinstance(trainable, ChecksFit):
            errors += [line for config in configs for line in trainable.misfits(config, splits)]
        if isinstance(trainable, CanTryOut):
            tried = trainable.try_out(configs, splits)
            unread = judge_unread(study, tried)
            errors += (*tried.errors, *unread.errors)
            notices += (*tried.notices, *unread.notices)
    if splits.streamed and trainable.stacks and choose_executor(study).executor == "lanes":
        if study.lanes.mode == "stacked":
            errors.append(f"--lane-mode stacked: a stack takes what is in memory; {splits.name} is not; use looped")
        text = "lanes are looped, none is stacked: a stack would need the examples of every lane at once"
        notices.append(Notice("streamed_lanes", text))
    foreign = study.trainable not in TRAINABLES and not study.trainable.startswith(USER_MODEL_PREFIX)
    if foreign and splits.train.weights is not None:
        text = f"weights: {study.trainable} is handed them as train.weights of its data, and may not use them"
        notices.append(Notice("weights_handed_on", text, warning=True))
    return TryOut(tuple(dict.fromkeys(errors)), tuple(notices))


def _fewest_classes(splits: Splits) -> NDArray[np.int64]:
    """Return the classes of the validation part, of several that with the fewest."""
    return min((np.unique(part.val.y) for part in splits.of_a_trial), key=len)


def _metric_errors(study: Study, splits: Splits) -> list[str]:
    """Return which metrics that are asked for the task does not have, and how the task was told."""
    errors = []
    for name in dict.fromkeys((*(o.metric for o in study.objectives), *study.metrics)):
        task = METRICS[name].task if name in METRICS else None
        if task is not None and task is not splits.task:
            known = ", ".join(n for n, metric in METRICS.items() if metric.task in (None, splits.task))
            line = f"{name} is no metric of a {splits.task.value} ({splits.name}); its metrics: {known}"
            own = splits.spec is not None and splits.spec.source == "table"
            hint = f"; --task {task.value} takes the target as that, where it can be" if own else ""
            errors.append(line + hint)
        elif name == "val_roc_auc" and len(found := _fewest_classes(splits)) < 2:
            only = splits.labels[int(found[0])] if splits.labels else found[0]
            errors.append(f"val_roc_auc needs two classes in the validation part, and {splits.name} has {only!r} alone")
    if errors:
        errors += [f"{splits.name}: {notice.text}" for notice in splits.notices if notice.kind == TASK_NOTICE]
    return errors
