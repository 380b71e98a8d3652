"""What the command line prints: the plan, the answer, lists. Text only; nothing is computed here."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from search.engine import Result
from search.ledger import StudyRow
from search.paths import Paths
from search.report.answer import Answer, Entry
from search.resources import Capacity
from search.study import Study
from spaces import Space
from trainables.data import Splits

WIDE = 110
"""Columns of a terminal from which on tables are shown in full, and of output that is no terminal."""


def make_console() -> Console:
    """Return the console of standard output."""
    return Console() if sys.stdout.isatty() else Console(width=WIDE)


def print_plan(console: Console, study: Study, splits: Splits, paths: Paths) -> None:
    """Print the resolved study: what ``--dry-run`` shows."""
    say(console, f"study      {study.name}  ({study.kind})")
    say(console, f"question   {study.question}")
    say(
        console,
        f"data       {splits.name}: {len(splits.train)} train, {len(splits.val)} validation, "
        f"{splits.test_examples} test (held out), {splits.classes} classes",
    )
    say(console, f"           fingerprint {splits.fingerprint}")
    say(console, f"trainable  {study.trainable}: {', '.join(f'{k}={v}' for k, v in study.settings.items())}")
    say(console, f"objective  {study.objective.metric}, {study.objective.mode}")
    say(console, f"budget     {budget_text(study)}")
    say(console, f"sampler    {study.sampler}, seed {study.seed}")
    say(console, f"scheduler  {scheduler_text(study)}")
    say(console, f"executor   {study.executor}; {resources_text(study)}")
    say(console, f"ledger     {paths.ledger}")
    say(console, f"mlflow     {tracking_text(study, paths)}")
    console.print(space_table(study.space, width=console.width))


def print_answer(console: Console, study: Study, result: Result, paths: Paths) -> None:
    """Print what a search found, and where to look further."""
    found = result.answer
    console.print()
    say(console, f"{study.name}: {states_text(found)} in {result.wall_s:.1f} s")
    if found.best is None:
        say(console, f"no trial reported a finite {found.metric}")
    else:
        say(console, verdict(found))
        console.print(top_table(found))
    say(console, epochs_text(found, study))
    if result.ending == "interrupted":
        home = shlex.quote(str(paths.home))
        say(console, f"interrupted  go on with: python -m search resume {study.name} --home {home}")
    for message, count in found.failures.items():
        say(console, f"failed     {count} x {message}")
    say(console, f"ledger     {paths.ledger}")
    for line in tracking_lines(study, paths, result.untracked):
        say(console, line)


def print_studies(console: Console, declared: dict[str, Study], recorded: list[tuple[StudyRow, Counter[str]]]) -> None:
    """Print what can be run, and what was."""
    table = Table(box=SIMPLE_HEAD)
    for column in ("study", "data", "parameters", "question"):
        table.add_column(column)
    for study in declared.values():
        table.add_row(study.kind, study.data.name, str(len(study.space)), study.question)
    console.print(table)
    if not recorded:
        return
    table = Table(box=SIMPLE_HEAD)
    for column in ("name", "started", "trials"):
        table.add_column(column)
    for row, states in recorded:
        table.add_row(row.name, when_text(row.created_at), counts_text(states))
    console.print(table)


def space_table(space: Space, *, width: int) -> Table:
    """Return the parameters with range, baseline and condition; with their meaning where it fits."""
    table = Table(box=SIMPLE_HEAD)
    for column in ("parameter", "range", "baseline", "only where"):
        table.add_column(column, no_wrap=True)
    if width >= WIDE:
        table.add_column("meaning")
    for row in space.table():
        table.add_row(*row[: len(table.columns)])
    return table


def top_table(found: Answer) -> Table:
    """Return the best trials, one row each, and the baseline below them."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for column in ("rank", "trial", f"best {found.metric}", "epoch"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("ended", no_wrap=True)
    table.add_column("parameters")
    for rank, entry in enumerate(found.top, 1):
        table.add_row("base" if entry.trial == 0 else str(rank), *_cells(entry))
    if found.baseline is not None and found.baseline not in found.top:
        table.add_row("base", *_cells(found.baseline))
    return table


def verdict(found: Answer) -> str:
    """Return the best beside the baseline, in one sentence."""
    assert found.best is not None
    best = f"best {found.metric} {found.best.value:.5g} (trial {found.best.trial})"
    if found.baseline is None:
        return f"{best}; the baseline reported no finite value"
    if found.best.trial == found.baseline.trial:
        return f"{best}: the untuned baseline; no trial beat it"
    change = found.best.value - found.baseline.value
    relative = f" ({change / abs(found.baseline.value):+.1%})" if found.baseline.value else ""
    return f"{best}, baseline {found.baseline.value:.5g}: {change:+.5g}{relative}; one seed each, not yet confirmed"


def epochs_text(found: Answer, study: Study) -> str:
    """Return what early stopping saved."""
    stopped = "asha" if study.scheduler.name == "asha" else study.scheduler.name
    total = found.epochs_trained + found.epochs_saved
    share = f" of {total} ({found.epochs_saved / total:.0%})" if total else ""
    return f"epochs     {found.epochs_trained} trained; {stopped} saved {found.epochs_saved}{share}"


def tracking_lines(study: Study, paths: Paths, untracked: str | None) -> list[str]:
    """Return where the runs can be looked at."""
    sync = sync_command(study.name, paths)
    if not study.tracking.enabled:
        return [f"mlflow     offline; to send the runs: {sync}"]
    lines = [f"mlflow     {ui_command(study, paths)}"]
    if untracked is not None:
        lines.append(f"           not everything arrived ({untracked}); to send the rest: {sync}")
    return lines


def sync_command(name: str, paths: Paths) -> str:
    """Return the command that sends what MLflow does not have of a study."""
    return f"python -m search sync {name} --home {shlex.quote(str(paths.home))}"


def ui_command(study: Study, paths: Paths) -> str:
    """Return the command that opens MLflow's pages, or the address of the server."""
    uri = study.tracking.uri or paths.mlflow_uri
    if uri.startswith(("http://", "https://")):
        return uri
    python = Path(sys.executable)
    shown = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python
    return f"{shown} -m mlflow ui --backend-store-uri {shlex.quote(uri)}"


def budget_text(study: Study) -> str:
    """Return the budget in words."""
    text = f"{study.budget.trials} trials of at most {study.budget.max_epochs} epochs"
    return text if study.budget.time_s is None else f"{text}, {study.budget.time_s:g} s in all"


def scheduler_text(study: Study) -> str:
    """Return the scheduler in words."""
    spec = study.scheduler
    if spec.name == "asha":
        return f"asha: first rung at epoch {spec.grace}, about one trial in {spec.reduction_factor} passes a rung"
    return f"median stopping after {spec.grace} epochs" if spec.name == "median" else "none"


def resources_text(study: Study) -> str:
    """Return a trial's share and how many run at once."""
    r = study.resources
    share = f"{r.cpus_per_trial:g} CPU and {r.gpus_per_trial:g} GPU a trial"
    if r.address is not None:
        return f"{share}, on the Ray cluster at {r.address}"
    slots = Capacity.of_this_machine(with_gpus=r.gpus_per_trial > 0).slots(r)
    return f"{share}, {slots} at once on this machine"


def tracking_text(study: Study, paths: Paths) -> str:
    """Return where runs will go."""
    return (study.tracking.uri or paths.mlflow_uri) if study.tracking.enabled else "offline"


def states_text(found: Answer) -> str:
    """Return ``64 trials: 50 pruned, 14 complete``."""
    return f"{found.trials} trials: {counts_text(Counter(found.states))}"


def counts_text(states: Counter[str]) -> str:
    """Return ``50 pruned, 14 complete``."""
    return ", ".join(f"{n} {state.lower()}" for state, n in states.most_common()) or "none"


def when_text(at: float) -> str:
    """Return a local time to the second."""
    import time

    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def params_text(params: dict[str, Any]) -> str:
    """Return ``dropout=0.31 schedule=cosine``."""
    return " ".join(f"{k}={_value(v)}" for k, v in params.items())


def say(console: Console, text: str) -> None:
    """Print one line as it is: no markup, no colour of numbers, no wrapping."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _cells(entry: Entry) -> tuple[str, ...]:
    ended = entry.stop_reason or entry.state.lower()
    return str(entry.trial), f"{entry.value:.5g}", str(entry.epoch), ended, params_text(entry.params)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
