"""``export --optuna``: a study written to a database of Optuna's, and what is to know of it there."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from search.credentials import better_way, were_given
from search.errors import UsageError
from search.face.answer_stream import answer_alone, print_json
from search.face.present import make_console, say, say_words
from search.ledger.paths import Paths
from spaces.parameter import format_value
from trainables.data.parts import counted
from trainables.stage import stage

SHOWN = 3
"""Trials that a line names of those with a moved value."""

if TYPE_CHECKING:
    from search.export.optuna_study import ReadStudy
    from spaces import Value


def write_to_optuna(paths: Paths, url: str, *, of_a_model: Mapping[str, object], json_: bool) -> None:
    """Write a study to the database at ``url``, and print what was written.

    Args:
        paths: of the study.
        url: a database URL of SQLAlchemy.
        of_a_model: the options that are of a model's folder, by flag, with what was given.
        json_: print one JSON object instead of text.

    Raises:
        UsageError: an option of a model was given too; and as ``export_to_optuna``, as is RunError.
    """
    if given := [flag for flag, value in of_a_model.items() if value]:
        raise UsageError(f"--optuna writes the trials, and no model: it goes without {', '.join(given)}")
    with answer_alone(json_), stage("exporting", way_on="no study was written, and the same command begins anew"):
        from search.export.optuna_storage import export_to_optuna

        done, bare = export_to_optuna(paths, url)
        if json_:
            print_json({"optuna": bare, **_to_json(done)})
            return
        console = make_console()
        for line in _lines(done):
            say_words(console, line)
        say(console, f"look at it  optuna-dashboard {shlex.quote(bare)}{_passwords(bare)}")


def _lines(done: ReadStudy) -> list[str]:
    states = ", ".join(f"{count} {state}" for state, count in done.states.items())
    trials = counted(len(done.converted.trials), "trial")
    lines = [f"exported    {trials} of {done.study.name} as a study of Optuna's: {states}"]
    for name in done.converted.widened:
        declared, wider = done.study.space[name].range_text(), done.converted.space[name].range_text()
        lines.append(f"widened     {name} to {wider}, from {declared}, as a trial lies outside")
    lines += [_moved_line(done, parameter.name) for parameter in done.converted.space if _moved(done, parameter.name)]
    if done.best is not None and done.converted.trials[done.best].state.name != "COMPLETE":
        state = done.converted.trials[done.best].state.name
        lines.append(f"best        trial {done.best} is {state}; Optuna's best_trial is the best of those COMPLETE")
    return lines


def _moved(done: ReadStudy, name: str) -> dict[int, Value]:
    """Return, by trial, the values of one parameter that Optuna has another for."""
    return {trial: values[name] for trial, values in done.converted.moved.items() if name in values}


def _moved_line(done: ReadStudy, name: str) -> str:
    found = _moved(done, name)
    shown = ", ".join(f"{format_value(value)} in trial {trial}" for trial, value in [*found.items()][:SHOWN])
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    allowed = done.converted.space[name].range_text()
    return f"moved       {name} is {shown}{more}, which {allowed} cannot hold: Optuna has the nearest value inside"


def _to_json(done: ReadStudy) -> dict[str, Any]:
    return {
        "study": done.study.name,
        "states": done.states,
        "widened": {name: done.converted.space[name].range_text() for name in done.converted.widened},
        "moved": {str(trial): dict(values) for trial, values in done.converted.moved.items()},
    }


def _passwords(url: str) -> str:
    """Return a comment of the shell that says where the password can be that was typed, if one was."""
    return f"  # its passwords are not stored: {better_way(url)}" if were_given(url) else ""
