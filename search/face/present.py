"""The plan and the answer that the command line prints. Text only; nothing is computed here."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from rich.cells import cell_len
from rich.console import Console

from search.brain.replaced import replaced
from search.brain.sampler_cost import cost_line
from search.declaration.parts import PAUSING
from search.declaration.study import Study
from search.drive.result import Result
from search.executors.capacity import Capacity
from search.executors.choice import choose_executor
from search.executors.paused_states import paused_mb
from search.executors.retention import FINISHED
from search.face.chart import best_chart
from search.face.confirmation_table import (
    ablation_table,
    confirmation_table,
)
from search.face.grid import print_grid, wrapped
from search.face.hindsight import cost_table
from search.face.importance_table import importance_table
from search.face.tables import (
    WIDE,
    choices_table,
    comparison_table,
    curve_table,
    curve_text,
    failure_lines,
    front_table,
    front_text,
    seated_table,
    space_table,
    top_table,
)
from search.ledger.outcome import SessionEnding
from search.ledger.paths import Paths
from search.ledger.printed_commands import confirm_command, mlflow_command, resume_command, sync_command
from search.report.answer import Answer
from search.report.confirmation import SAME, Confirmation
from search.report.confirmation_words import ablation_text, confirmation_lines, confirmation_text
from search.report.examples import data_lines
from search.report.hindsight import hindsight_lines
from search.report.importance import Importance
from search.report.importance_words import importance_lines
from search.report.kept import Kept
from search.report.sentences import epochs_text, mean_text, metrics_text, progress_text, states_text, verdict
from search.report.warm_start_words import warm_start_lines
from spaces import BASELINE_TRIAL
from trainables.data import Splits
from trainables.data.parts import counted
from trainables.machine import THIS_MACHINE

LABEL = 11
"""Cells of a label such as ``data``, with the blanks after it."""


def make_console(*, errors: bool = False) -> Console:
    """Return the console of standard output, or of standard error: where the output is one JSON object, say."""
    stream = sys.stderr if errors else sys.stdout
    return Console(stderr=errors) if stream.isatty() else Console(stderr=errors, width=WIDE)


def print_plan(
    console: Console, study: Study, splits: Splits, paths: Paths, past: dict[str, Any] | None = None
) -> None:
    """Print the resolved study, and from where it would be continued (``past``): what ``--dry-run`` shows."""
    say(console, f"study      {study.name}  ({study.kind})")
    say(console, f"question   {study.question}")
    say_data(console, splits.facts())
    say(console, f"           fingerprint {splits.fingerprint}")
    say(console, f"trainable  {study.trainable}: {', '.join(f'{k}={v}' for k, v in study.settings.items())}")
    first, *further = (f"{o.metric}, {o.mode}" for o in study.objectives)
    mean = "" if study.data.folds is None else f"; each {mean_text(study.data.folds)}"
    say(console, f"objective  {'; weighed against '.join([first, *further])}{mean}")
    say(console, f"budget     {budget_text(study)}")
    say(console, f"sampler    {study.sampler}, seed {study.seed}{share_text(study)}")
    if (cost := cost_line(study)) is not None:
        say_words(console, f"{'':10} {cost}")
    for i, line in enumerate(warm_start_lines(study)):
        say_words(console, f"{'' if i else 'from':10} {line}")
    say_words(console, f"scheduler  {scheduler_text(study)}")
    say(console, f"executor   {study.executor}; {resources_text(study)}")
    say(console, f"ledger     {paths.ledger}")
    say(console, f"mlflow     {tracking_text(study, paths)}")
    if past is not None:
        going = "1 trial goes on" if past["open"] == 1 else f"{past['open']} trials go on"
        had = f"{counted(past['trials'], 'trial')} and {counted(past['epochs'], 'epoch')}"
        say(console, f"continues  {had}; {going}")
        for line in past["changes"]:
            say(console, f"changes    {line}")
    print_grid(console, space_table(study.space))
    if study.warm_start is not None:
        print_grid(console, seated_table(study))


def print_check(console: Console, study: Study, splits: Splits) -> None:
    """Print what is understood of a study's data and of what is to learn from them."""
    facts = splits.facts()
    say_data(console, facts)
    say(console, f"           fingerprint {splits.fingerprint}")
    say(
        console,
        f"trainable  {study.trainable}: {counted(len(study.space), 'parameter')} ({', '.join(study.space.names)})",
    )
    warnings = sum(notice["warning"] for notice in facts["notices"])
    say(console, f"checked    {warnings or 'no'} warning{'' if warnings == 1 else 's'}; nothing was trained")


def say_data(console: Console, facts: Mapping[str, Any]) -> None:
    """Print what the examples are, and what a user should know of how they were read."""
    for i, line in enumerate(data_lines(facts) if facts else []):
        say_words(console, f"{'' if i else 'data':10} {line}")


def print_answer(console: Console, study: Study, result: Result, paths: Paths, *, chart: bool = True) -> None:
    """Print what a search found, and where to look further; ``chart`` is the best value over the trials."""
    found = result.answer
    console.print()
    say(console, f"{study.name}: {states_text(found)} in {result.wall_s:.1f} s")
    if found.problem is not None:
        say_words(console, found.problem)
    if found.best is None and found.problem is None:
        say(console, f"no trial reported a finite {found.metric}")
    elif found.best is not None:
        say_words(console, verdict(found))
        if found.confirmation is not None:
            say_words(console, f"confirmed: {found.confirmation.sentence}")
        say_words(console, f"its epoch {found.best.epoch}: {metrics_text(found.best.metrics)}")
        print_grid(console, top_table(found))
        if chart and (drawn := best_chart(found.improvements, found.trials, console)):
            for line in (f"progress   {progress_text(found)}", "", *drawn, ""):
                say(console, line)
        if found.front:
            say_words(console, front_text(found))
            print_grid(console, front_table(found))
        if found.confirmation is not None:
            print_confirmation(console, found.confirmation, paths)
        if found.shown:
            print_grid(console, choices_table(found))
        if found.importance is not None:
            say_importance(console, found.importance)
    if found.curve is not None:
        print_grid(console, curve_table(found.curve))
        say_words(console, f"curve      {found.curve.verdict}")
        say_words(console, f"           {curve_text(found.curve)}")
    if found.comparison is not None:
        print_grid(console, comparison_table(found.comparison))
        for line in failure_lines(found.comparison):
            say(console, line)
        say_words(console, f"compared   {found.comparison.verdict}")
    say_data(console, result.data)
    say_words(console, epochs_text(found, study))
    print_hindsight(console, found, study)
    if result.ending in (SessionEnding.INTERRUPTED, SessionEnding.DIED):
        how = "interrupted" if result.ending is SessionEnding.INTERRUPTED else "interrupted (its process is gone)"
        say(console, f"{how}  go on with: {resume_command(paths)}")
    if found.divergence is not None and found.problem is None:
        say_words(console, f"diverged   {found.divergence}")
    for message, count in found.failures.items():
        say_words(console, f"failed     {count} x {message}")
    for line in kept_lines(found, result.kept, can_refit=study.data.can_refit):
        say(console, line)
    say(console, f"ledger     {paths.ledger}")


def print_confirmation(console: Console, found: Confirmation, paths: Paths) -> None:
    """Print the verdict, the finalists on fresh pairs, and what each parameter is worth."""
    for line in confirmation_lines(found):
        say_words(console, line)
    print_grid(console, confirmation_table(found))
    say_words(console, confirmation_text(found))
    if found.verdict == SAME:
        say(console, f"more pairs may tell: {confirm_command(paths, '--seeds auto')}")
    if found.ablation is not None:
        say_words(console, ablation_text(found.ablation))
        print_grid(console, ablation_table(found.ablation))


def print_hindsight(console: Console, found: Answer, study: Study) -> None:
    """Print whether pruning was right and whether more trials would help."""
    if found.pruning is not None:
        print_grid(console, cost_table(found.pruning))
    for line in hindsight_lines(found, study):
        say_words(console, line)


def say_importance(console: Console, found: Importance) -> None:
    """Print what each parameter was worth, and what must be known of that."""
    if found.parameters:
        print_grid(console, importance_table(found))
    for line in importance_lines(found):
        say_words(console, line)


def print_tracking(console: Console, study: Study, result: Result, paths: Paths) -> None:
    """Print where the runs can be looked at, and what is not there."""
    for line in tracking_lines(study, paths, result.untracked):
        say(console, line)


def kept_lines(found: Answer, kept: Kept, *, can_refit: bool = True) -> list[str]:
    """Return what of the checkpoints is on disk, and where the best model is."""
    why = [] if kept.why_not is None else [f"           {kept.why_not}"]
    if not kept.checkpoints:
        return ["models     none kept", *why]
    what = "checkpoint" if kept.checkpoints == 1 else "checkpoints"
    lines = [f"models     {kept.checkpoints} {what} kept, {kept.size_mb:.2f} MB"]
    if found.best is not None and kept.best_model is None:
        lines.append(f"           the best model is not among them (trial {found.best.trial}, {found.best.state})")
        lines += why
        lines += _recommended_lines(found, kept)
    elif found.best is not None:
        so_far = "" if found.best.state in FINISHED else "; as of the trial's last checkpoint"
        lines.append(f"best model {kept.best_model}{so_far}")
        lines += _recommended_lines(found, kept)
        if found.folds is not None:
            more = "; `export --refit` trains one on all" if can_refit else ""
            lines.append(f"           as fold 1 of {found.folds} trained it{more}")
    return lines


def _recommended_lines(found: Answer, kept: Kept) -> list[str]:
    """Return where the model is that a confirmation recommends, if that is not the best of the search."""
    if found.best is None or found.confirmation is None or found.confirmation.recommended == found.best.trial:
        return []
    trial = found.confirmation.recommended
    which = "the baseline's, trial 0," if trial == BASELINE_TRIAL else f"that of trial {trial}"
    lines = [f"           it is the best of the search, trial {found.best.trial}; {which} is recommended"]
    if kept.best_model is None:
        lines = [f"           {which} is recommended"]
    file = kept.recommended_model
    return [*lines, f"recommended model {file}" if file else "           its model is not kept"]


def tracking_lines(study: Study, paths: Paths, untracked: str | None) -> list[str]:
    """Return where the runs can be looked at."""
    sync = sync_command(paths, study.tracking.uri)
    if not study.tracking.enabled:
        return [f"mlflow     offline; to send the runs: {sync}"]
    lines = [f"mlflow     {mlflow_command(study.tracking.uri or paths.mlflow_uri)}"]
    if untracked is not None:
        lines.append(f"           not everything arrived ({untracked}); to send the rest: {sync}")
    return lines


def budget_text(study: Study) -> str:
    """Return the budget in words."""
    text = f"{study.budget.trials} trials of at most {study.budget.max_epochs} epochs"
    return text if study.budget.time_s is None else f"{text}, {study.budget.time_s:g} s in all"


def share_text(study: Study) -> str:
    """Return what a balanced parameter means for the trials, and what follows them."""
    if study.balanced is None:
        return ""
    text = f"; equal numbers of trials for each {study.balanced}"
    return f"{text}, then the best of each on {study.refits} splits" if study.refits else text


def scheduler_text(study: Study) -> str:
    """Return the scheduler in words."""
    spec = study.scheduler
    if spec.name == "asha":
        return f"asha: first rung at epoch {spec.grace}, about one trial in {spec.reduction_factor} passes a rung"
    instead = replaced(study)
    if spec.name == "freeze_thaw" and instead is None:
        most = f"{study.total_epochs} epochs in all"
        return f"freeze_thaw: a model of the curves chooses who trains on, {most}; the others wait{paused_text(study)}"
    if spec.name in PAUSING:
        share = f"about one trial in {spec.reduction_factor} goes on from a rung"
        why = "" if instead is None else f"{instead.sentence}; "
        return f"{why}promote: first rung at epoch {spec.grace}, {share}, the others wait{paused_text(study)}"
    return f"median stopping after {spec.grace} epochs" if spec.name == "median" else "none"


def paused_text(study: Study) -> str:
    """Return where the states of paused trials lie."""
    if choose_executor(study).executor == "tune":
        return " in checkpoints of Ray Tune's"
    if mb := paused_mb(study):
        return f" in memory, at most {mb:g} MB"
    return f" in the checkpoint store ({'several workers' if study.scheduler.paused_mb else '--paused-mb 0'})"


def resources_text(study: Study) -> str:
    """Return a trial's share and how many run at once; of lanes on a cluster how many workers."""
    r = study.resources
    share = f"{r.cpus_per_trial:g} CPU and {r.gpus_per_trial:g} GPU a trial"
    if r.address is not None:
        if choose_executor(study).executor == "lanes":
            share = "lanes, with as many workers as have room" if r.workers is None else f"lanes, {r.workers} workers"
        return f"{share}, on the Ray cluster at {r.address}"
    slots = Capacity.of(THIS_MACHINE, with_gpus=r.gpus_per_trial > 0).slots(r)
    return f"{share}, {slots} at once on this machine"


def tracking_text(study: Study, paths: Paths) -> str:
    """Return where runs will go."""
    return (study.tracking.uri or paths.mlflow_uri) if study.tracking.enabled else "offline"


def say_words(console: Console, text: str) -> None:
    """Print a sentence, which a terminal breaks between words and no file at all: a number is never cut.

    What it goes on with stands below its beginning, right of its label (``data       ``, or as many blanks).
    """
    width = console.width if console.is_terminal else cell_len(text)
    if cell_len(text) <= width:
        say(console, text)
        return
    label = text[:LABEL] if text[:LABEL].endswith("  ") else ""
    lines = wrapped(text[len(label) :].split(), width - len(label), indent="")
    for i, line in enumerate(lines):
        say(console, f"{'' if i else label:{len(label)}}{line}")


def say(console: Console, text: str) -> None:
    """Print one line as it is: no markup, no colour of numbers, no wrapping."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
