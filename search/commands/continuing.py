"""What every verb does that goes on with a recorded study: its ledger looked at, its answer printed."""

from __future__ import annotations

from collections.abc import Callable

from search.commands.run import announcing, conclude
from search.declaration.study import Study
from search.drive.engine import resume
from search.drive.examples import load_data
from search.drive.lookup import open_ledger
from search.face.answer_stream import answer_alone
from search.face.live_view import make_view
from search.face.present import make_console
from search.ledger.paths import Paths
from search.ledger.stored_study import study_from_row
from search.signs.life import hushed
from search.tracking.preflight import check_tracking
from search.tracking.process import WITHOUT_IT


def continue_study(
    paths: Paths,
    *,
    json_: bool,
    quiet: bool,
    accept_changed_model: bool,
    untracked_ok: bool,
    change: Callable[[Study], Study] | None,
    extends: bool = True,
    confirm_s: float | None = None,
) -> int:
    """Go on with a study, print its answer and return the exit code.

    Args:
        paths: where the study lies.
        json_: print one JSON object instead of text.
        quiet: leave out the progress and the chart.
        accept_changed_model: go on though the trainable's source has changed.
        untracked_ok: go on though MLflow does not answer.
        change: makes the declaration to go on with of the recorded one; None goes on with that.
        extends: whether that is another search than the one recorded.
        confirm_s: how long the confirmation may take; None where it is what the study says.
    """
    with open_ledger(paths) as ledger:
        ledger.check_whole()  # in the first opening: what SQLite tidies up when it closes is then not damage
        before = study_from_row(ledger.study(paths.name), paths.folder)
    console = make_console()
    view = make_view(make_console(errors=json_), metric=before.objective.metric, quiet=quiet)
    check_tracking(before, paths, view.say, otherwise=WITHOUT_IT, untracked_ok=untracked_ok)
    with answer_alone(json_), hushed(quiet):
        study, result = resume(
            paths,
            view=view,
            load=load_data,
            change=change,
            extends=extends,
            accept_changed_model=accept_changed_model,
            untracked_ok=untracked_ok,
            announce=announcing(paths, console, as_json=json_, chart=not quiet),
            confirm_s=confirm_s,
        )
    return conclude(study, result, paths, console, as_json=json_)
