"""What a report is made of, read from the ledger of a study, searched to its end or not."""

from __future__ import annotations

import shlex

from search.declaration.study import Study
from search.declaration.to_yaml import study_yaml
from search.drive.history import as_ledger_error
from search.drive.lookup import open_ledger
from search.drive.overview import last_ending
from search.drive.result import read_answer
from search.drive.stop import driver_by
from search.drive.versions import version_of
from search.errors import RunError, UsageError
from search.ledger.outcome import SessionEnding, TrialState
from search.ledger.paths import Paths
from search.ledger.printed_commands import config_command, confirm_command, resume_command, run_config_command
from search.ledger.stored_study import study_from_row
from search.report.answer import Answer
from search.report.page.material import Commands, Material


def read_material(paths: Paths, *, begun: bool = False, found: Answer | None = None) -> Material:
    """Return a recorded study with what it found until now; it is only read.

    Args:
        paths: where it lies.
        begun: a search that is running will do, also before any of its trials has ended.
        found: its answer, where that was worked out already.

    Raises:
        UsageError: no study of that name in the home, or none of its trials has ended.
    """
    with open_ledger(paths) as ledger:
        row = ledger.study(paths.name)
        study = study_from_row(row, paths.folder)
        ending = last_ending(ledger, row)
        trials, epochs = ledger.trials_frame(row.id), ledger.epochs_frame(row.id)
        nothing_yet = all(TrialState(state).resumable for state in trials["state"])
        if nothing_yet and begun and _is_about_to(paths):
            ending = "running"
        if nothing_yet and not (begun and ending == "running"):
            going = "it is being searched" if ending == "running" else f"go on with: {resume_command(paths)}"
            raise UsageError(f"no trial of {study.name} has ended, so there is nothing to report; {going}")
        if found is None:
            with as_ledger_error(paths.ledger):
                found = read_answer(ledger, row, study)
        resumable = ending not in ("running", SessionEnding.DONE)
        return Material(
            study=study,
            answer=found,
            trials=trials,
            epochs=epochs,
            facts=row.facts,
            ending=str(ending),
            finished=ending == SessionEnding.DONE,
            seconds=ledger.seconds_used(row.id),
            commands=Commands(
                confirm=confirm_command(paths),
                more_pairs=confirm_command(paths, "--seeds auto"),
                resume=resume_command(paths) if resumable else None,
                reproduce=_reproducing(paths, study),
            ),
            declaration=study_yaml(study),
            fingerprint=row.fingerprint,
            service=version_of("lanewise") or "(not installed)",
        )


def _is_about_to(paths: Paths) -> bool:
    """Say whether a process of this machine holds the study, also before it has begun a session."""
    try:
        return driver_by(paths.lock) is not None
    except RunError:
        return True


def _reproducing(paths: Paths, study: Study) -> tuple[tuple[str, str], ...]:
    """Return what runs the study again."""
    file = f"{study.name}.yaml"
    return (
        ("Write the declaration", f"{config_command(paths)} > {shlex.quote(file)}"),
        ("Search it again, under another name", run_config_command(paths, file)),
    )
