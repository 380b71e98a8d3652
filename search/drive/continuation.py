"""How a recorded study is continued: with the same question, on the same data, by the same model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from search.declaration.from_options import in_options
from search.declaration.option import parse_duration
from search.declaration.options import Options, flags
from search.declaration.own_data import declared_data
from search.declaration.study import Difference, Study, differences
from search.declaration.validate import valid_study
from search.drive.model_identity import model_change, model_of
from search.drive.versions import version_changes, versions
from search.errors import LedgerError, RunError, UsageError
from search.ledger import Ledger, LedgerWriter, StudyRow
from search.ledger.events import Event, ModelChanged
from search.ledger.paths import Paths
from spaces import SpaceError, apply_overrides, parse_assignments
from trainables.data.spec import path_errors
from trainables.errors import ConfigError

if TYPE_CHECKING:
    from search.executors.progress import View
    from trainables.data import Splits

MAY_CHANGE = (
    "question",
    "presets",
    "data.data_dir",
    "data.path",
    "data.val_file",
    "data.test_file",
    "data.download",
    "data.memory_mb",
    "data.workers_per_trial",
    "executor",
    "resources",
    "faults",
    "tracking",
    "ledger",
    "shown",
    "curve",
    "confirm",
    "keep_checkpoints",
    "checkpoint_every_s",
)
"""The fields of a study, with all below them, that no result is a result of: where things lie, what trials are run
on, what is done when something fails, and who is told. What a parameter means (``space.NAME.help``) is another."""

EXTENDABLE = ("budget.trials", "budget.max_epochs", "budget.time_s", "space.")
"""The beginnings of the names of the fields that ``extend`` can change."""


def is_recorded(paths: Paths) -> bool:
    """Say whether the study is in its ledger: one that was killed before it had written that is not.

    Raises:
        RunError: there is a file, but it is no ledger of this version, or one that has lost all it held.
    """
    if paths.database is None:
        if not paths.ledger_file.is_file():
            return False
        if not paths.ledger_file.stat().st_size:
            if paths.checkpoints.is_dir() and any(paths.checkpoints.iterdir()):
                raise LedgerError(
                    f"ledger {paths.ledger_file} is damaged (it is empty, but {paths.checkpoints} holds its trials' "
                    "states); nothing was started or changed"
                )
            return False
        with Ledger(paths.ledger_url) as ledger:
            return _has(ledger, paths.name)
    try:
        with Ledger(paths.database) as ledger:
            return _has(ledger, paths.name)
    except RunError:  # a database without our tables yet; if it is another fault, the start will meet it too
        return False


def _has(ledger: Ledger, name: str) -> bool:
    return any(row.name == name for row in ledger.studies())


def continue_as(recorded: Study, given: Study) -> Study:
    """Return ``given``, as which a recorded study of the same name goes on.

    Raises:
        UsageError: it differs in what the results depend on; a line for each difference.
    """
    # a file may have been renamed as well as moved: its fingerprint is compared when it is read
    own = recorded.data.source == given.data.source != "named"
    found = [
        change
        for change in differences(recorded, given)
        if not (_may_change(change.field) or own and change.field == "data.name")
    ]
    if found:
        raise UsageError([_refusal(given.name, change) for change in _as_asked_for(found, recorded, given)])
    return given


def _as_asked_for(found: Sequence[Difference], recorded: Study, given: Study) -> list[Difference]:
    """Return the differences, those of an earlier study's configurations as one: what was looked up follows from it."""
    before, after = (None if study.warm_start is None else str(study.warm_start) for study in (recorded, given))
    if before == after:
        return list(found)
    others = [change for change in found if change.field.partition(".")[0] != "warm_start"]
    return [*others, Difference("warm_start", before, after)]


def with_data_at(study: Study, data: str) -> Study:
    """Return a study whose own file or folder lies elsewhere now; its fingerprint is compared when it is read.

    Args:
        study: the declaration before.
        data: ``table:FILE`` or ``images:FOLDER``, as the option ``--data`` takes it.

    Raises:
        UsageError: nothing of that kind lies there.
    """
    try:
        place = declared_data(study.data, Options(data=data))
    except UsageError as error:
        raise UsageError(in_options(error.mistakes) or error.errors) from None
    if place.source != study.data.source:
        of = study.data.name if study.data.path is None else f"{study.data.source}:{study.data.path}"
        raise UsageError(f"--data {data}: the data of {study.name} are {of}; give where they lie now")
    if errors := path_errors(place):
        raise UsageError(errors)
    return valid_study({**study.model_dump(), "data": dataclasses.asdict(place)})


def refuse_absent_data(study: Study) -> None:
    """Look whether a study's own file or folder is where it was.

    Raises:
        UsageError: it is not; how to say where it is now.
    """
    if errors := path_errors(study.data):
        raise UsageError([f"{line}; if it was moved, {_where(line, study)}" for line in errors])


def _where(line: str, study: Study) -> str:
    """Return how to say where the file is now that a line of ``path_errors`` misses."""
    option = line.partition(" ")[0]
    if option in ("--val-file", "--test-file"):
        return f"run the study again with --name {study.name} --resume {option} FILE"
    return f"say where it is: --data {study.data.source}:PATH"


def extend_study(
    study: Study, *, trials: int | None, max_epochs: int | None, time_budget: str | None, set_: Sequence[str]
) -> Study:
    """Return the study with more trials, longer ones, more time or another space.

    Args:
        study: the declaration before.
        trials: how many more.
        max_epochs: epochs of each trial to come: the new number, not an addition.
        time_budget: how much more.
        set_: changes of the space, as the option ``--set`` takes them.

    Raises:
        UsageError: everything that is wrong, a line each.
    """
    errors: list[str] = []
    if trials is not None and trials < 1:
        errors.append(f"--trials must be >= 1 more, got {trials}")
    more_s = 0.0
    try:
        more_s = 0.0 if time_budget is None else parse_duration(time_budget)
    except UsageError as error:
        errors += in_options(error.mistakes)
    try:
        space, settings = apply_overrides(study.space, study.settings, parse_assignments(set_))
        if settings != study.settings:
            errors.append("--set: settings that all trials share cannot change in a study; begin a new one")
    except SpaceError as error:
        space = study.space
        errors += error.errors
    budget = {
        **study.budget.model_dump(),
        "trials": study.budget.trials + max(0, trials or 0),
        "max_epochs": max_epochs or study.budget.max_epochs,
        "time_s": None if study.budget.time_s is None else study.budget.time_s + more_s,
    }
    if max_epochs is not None and max_epochs < study.budget.max_epochs:
        errors.append(f"--max-epochs {max_epochs} is below the {study.budget.max_epochs} of the study")
    changes = {"space": space, "budget": budget}
    after = study
    try:
        after = valid_study({**study.model_dump(), **changes})
    except UsageError as error:
        errors += in_options(error.mistakes)
    if errors:
        raise UsageError(errors)
    return after


def _may_change(field: str) -> bool:
    free = any(field == name or field.startswith(f"{name}.") for name in MAY_CHANGE)
    return free or field.startswith("space.") and field.endswith(".help")


def _refusal(name: str, change: Difference) -> str:
    if change.field == "data.fingerprint":
        return (
            f"--resume {name}: the data changed, as the fingerprint of their function says: {_stated(change.before)} "
            f"when the study began, {_stated(change.after)} now; a resume would mix two data sets; put the old data "
            "back, or give another --name"
        )
    option = f" ({flags()[change.field]})" if change.field in flags() else ""
    text = f"--resume {name}: {change}{option} is another search than the one recorded"
    if change.field.startswith(EXTENDABLE):
        return f"{text}; `python -m search extend {name}` can change it"
    return f"{text}; give the options that it was begun with, or another --name"


def _stated(fingerprint: str | None) -> str:
    return "none" if fingerprint is None else repr(fingerprint)


def check_continuation(paths: Paths, study: Study, splits: Splits, *, accept: bool) -> dict[str, Any]:
    """Return as plain data what a recorded study would be continued from, having refused what a resume would.

    Args:
        paths: where the study lies.
        study: the declaration as which it would go on.
        splits: its examples.
        accept: take a model that is not what it was.

    Raises:
        UsageError, RunError: see ``continue_as``, ``refuse_other_data`` and ``refuse_changed_model``.
    """
    with Ledger(paths.ledger_url) as ledger:
        row = ledger.study(paths.name)
        recorded = valid_study(row.declaration)
        continue_as(recorded, study)
        refuse_other_data(row, splits)
        refuse_changed_model(row, study, accept=accept)
        trials = ledger.trials(row.id)
        return {
            "trials": len(trials),
            "epochs": len(ledger.epochs(row.id)),
            "open": sum(t.state.resumable for t in trials),
            "changes": [str(change) for change in differences(recorded, study)],
        }


def _model(study: Study) -> dict[str, str]:
    """Return what tells the study's model from another.

    Raises:
        UsageError: it cannot be imported.
    """
    try:
        return model_of(study.trainable)
    except ConfigError as error:
        raise UsageError(error.errors) from None


def refuse_other_data(row: StudyRow, splits: Splits) -> None:
    """Compare the examples with those that the study began with.

    Raises:
        RunError: they are others.
    """
    if splits.fingerprint != row.fingerprint:
        raise RunError(
            f"the data of {row.name} are not what they were: fingerprint {splits.fingerprint[:16]} now, "
            f"{row.fingerprint[:16]} when the study began; a resume would mix two data sets"
        )


def refuse_changed_model(row: StudyRow, study: Study, *, accept: bool) -> None:
    """Compare the model with the one that the study began with.

    Raises:
        RunError: it is another, and that was not accepted.
    """
    change = _model_change(row, study)
    if change is not None and not accept:
        raise RunError(
            f"the model of {row.name} is not what it was: {change}; a resume would mix two models; "
            "put the old one back, or go on with --accept-changed-model"
        )


def refuse_other_preparation(row: StudyRow, prepared: Mapping[str, Any]) -> None:
    """Compare what the trainable prepared now (its weights, say) with what the study began with.

    Raises:
        RunError: it is something else; a line for each.
    """
    before = row.facts.prepared
    lines = [
        f"the {name} of {row.name} are not what they were: {_short(value)} now, {_short(before[name])} when the "
        "study began; a resume would mix the two"
        for name, value in prepared.items()
        if name in before and before[name] != value
    ]
    if lines:
        raise RunError(lines)


def _short(value: Any) -> str:
    return value[:16] if isinstance(value, str) else ", ".join(map(str, value))


def changes_since_begin(row: StudyRow, study: Study) -> list[Event]:
    """Return what is not as it was when the study began, where it goes on all the same."""
    model, other_versions = _model_change(row, study), version_changes(row.facts.versions, versions())
    return [
        *([] if model is None else [ModelChanged(change=model)]),
        *([] if other_versions is None else [other_versions]),
    ]


def record_changes(ledger: Ledger, row: StudyRow, study: Study, changes: Sequence[Event], view: View) -> None:
    """Record and say what ``changes_since_begin`` found; another model is the study's own from then on."""
    writer = LedgerWriter(ledger, row.id)
    for event in changes:
        writer.event(event)
        view.say(event.sentence)
    writer.flush()
    if any(isinstance(event, ModelChanged) for event in changes):
        ledger.accept_model(row.id, _model(study))


def _model_change(row: StudyRow, study: Study) -> str | None:
    """Return in words how the model differs from the one that the study began with; None where it does not."""
    model = _model(study)
    return model_change(row.facts.model or model, model)
