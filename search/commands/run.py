"""What the main command does: search a study, or the study that a file declares, and print the answer."""

from __future__ import annotations

import dataclasses
import sys
from contextlib import ExitStack
from typing import Any

from rich.console import Console

from search.declaration.held_data import held_file
from search.declaration.options import Options
from search.declaration.study import Study
from search.drive import engine
from search.drive.continuation import check_continuation, continue_as, is_recorded
from search.drive.examples import load_data
from search.drive.kept_data import keeping_data, read_as_recorded, with_kept_data
from search.drive.preflight import resolve
from search.drive.result import Result
from search.executors.choice import choose_executor
from search.executors.fork_server import server_started_ahead
from search.export.hand_on import hand_on_searched
from search.face.answer_stream import print_json
from search.face.live_view import make_view
from search.face.present import make_console, print_answer, print_plan, print_tracking
from search.ledger.paths import Paths
from search.tracking.preflight import check_tracking
from search.tracking.process import OTHERWISE


def search_study(options: Options) -> int:
    """Search a study, or go on with it, print the answer and return the process's exit code."""
    with ExitStack() as stack:

        def prepare(study: Study) -> None:
            wanted = choose_executor(study).forks and not options.dry_run
            stack.enter_context(server_started_ahead(wanted))  # it imports while the search prepares

        return _search(options, resolve(options, declared=prepare))


def _search(options: Options, study: Study) -> int:
    paths, console = Paths(options.home, study.name, study.ledger), make_console()
    continues = options.resume and is_recorded(paths)
    study = read_as_recorded(study, paths) if continues else study
    held = held_file(study.data.path)
    if continues and held is not None:
        study = with_kept_data(study, held, paths)
    if options.dry_run:
        show_plan(options, study, paths, console, continues=continues)
        return 0
    view = make_view(make_console(errors=options.json_), metric=study.objective.metric, quiet=options.quiet)
    check_tracking(study, paths, view.say, otherwise=OTHERWISE)
    announce = announcing(paths, console, as_json=options.json_, chart=not options.quiet)
    if continues:
        study, result = engine.resume(
            paths,
            view=view,
            load=load_data,
            change=lambda recorded: continue_as(recorded, study),
            extends=False,
            accept_changed_model=options.accept_changed_model,
            announce=announce,
        )
    else:
        if options.resume:
            view.say(f"no study {study.name} in {options.home.absolute()} yet: it is started")
        with keeping_data(study, held, paths, view.say) as study:
            result = engine.conduct(study, options.home, load_data, view=view, announce=announce)
    return conclude(study, result, paths, console, as_json=options.json_)


def show_plan(options: Options, study: Study, paths: Paths, console: Console, *, continues: bool) -> None:
    """Print what a search would do, which reads the data and starts nothing."""
    splits = load_data(study)
    past = check_continuation(paths, study, splits, accept=options.accept_changed_model) if continues else None
    if options.json_:
        plan: dict[str, Any] = {"study": study.model_dump(mode="json"), "fingerprint": splits.fingerprint}
        seated = [dataclasses.asdict(seat) for seat in study.seated_trials]
        print_json({**plan, "data": splits.facts(), "continues": past, "seated": seated})
    else:
        print_plan(console, study, splits, paths, past)


def announcing(paths: Paths, console: Console, *, as_json: bool, chart: bool) -> engine.Announce:
    """Return what prints an answer, and makes of it what MLflow is given, before the last is sent there.

    Of JSON there is one object, at the end.
    """

    def announce(study: Study, result: Result) -> None:
        if not as_json:
            print_answer(console, study, result, paths, chart=chart)
        hand_on_searched(paths, study, result)

    return announce


def conclude(study: Study, result: Result, paths: Paths, console: Console, *, as_json: bool) -> int:
    """Print what could not be said before everything was sent, and return the process's exit code.

    Of JSON that is all of it; why there is no answer ends standard error.
    """
    show_rest(study, result, paths, console, as_json=as_json)
    if result.answer.problem is not None:
        print(f"error: {result.answer.problem}", file=sys.stderr)
    return result.exit_code


def show_rest(study: Study, result: Result, paths: Paths, console: Console, *, as_json: bool) -> None:
    """Print what an answer could not say before everything was sent to MLflow; of JSON, all of it."""
    if as_json:
        print_json(to_json(study, result, paths))
    else:
        print_tracking(console, study, result, paths)


def show_result(study: Study, result: Result, paths: Paths, console: Console, *, as_json: bool) -> None:
    """Print what a search found: text, or one JSON object."""
    if not as_json:
        print_answer(console, study, result, paths)
    show_rest(study, result, paths, console, as_json=as_json)


def to_json(study: Study, result: Result, paths: Paths) -> dict[str, object]:
    """Return the one object that ``--json`` prints."""
    return {
        **result.answer.to_dict(),
        "data": dict(result.data) or None,
        "ending": result.ending,
        "wall_s": result.wall_s,
        "search_s": result.search_s,
        "longest_stall_s": result.longest_stall_s,
        "ledger": str(paths.ledger),
        "checkpoints": result.kept.to_dict(),
        "tracking_uri": (study.tracking.uri or paths.mlflow_uri) if study.tracking.enabled else None,
        "untracked": result.untracked,
    }
