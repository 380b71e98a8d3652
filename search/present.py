"""What the command line prints: the plan, the answer, lists. Text only; nothing is computed here."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from search.engine import Result
from search.ledger import StudyRow
from search.paths import Paths
from search.report.answer import Answer, Entry
from search.report.comparison import CONFIDENCE, Comparison
from search.report.curve import Curve
from search.report.curve import Row as CurveRow
from search.report.examples import DATA, data_lines
from search.report.kept import Kept
from search.resources import Capacity
from search.retention import FINISHED
from search.study import Study
from spaces import Space
from trainables.data import Splits

WIDE = 110
"""Columns of a terminal from which on tables are shown in full, and of output that is no terminal."""

FRONT_SHOWN = 20
"""Rows of the Pareto front that are printed."""


def make_console() -> Console:
    """Return the console of standard output."""
    return Console() if sys.stdout.isatty() else Console(width=WIDE)


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
    say(console, f"objective  {'; weighed against '.join([first, *further])}")
    say(console, f"budget     {budget_text(study)}")
    say(console, f"sampler    {study.sampler}, seed {study.seed}{share_text(study)}")
    say(console, f"scheduler  {scheduler_text(study)}")
    say(console, f"executor   {study.executor}; {resources_text(study)}")
    say(console, f"ledger     {paths.ledger}")
    say(console, f"mlflow     {tracking_text(study, paths)}")
    if past is not None:
        say(console, f"continues  {past['trials']} trials and {past['epochs']} epochs; {past['open']} trials go on")
        for line in past["changes"]:
            say(console, f"changes    {line}")
    console.print(space_table(study.space, width=console.width))


def say_data(console: Console, facts: Mapping[str, Any]) -> None:
    """Print what the examples are, and what a user should know of how they were read."""
    for i, line in enumerate(data_lines(facts) if facts else []):
        say(console, f"{'' if i else 'data':10} {line}")


def print_answer(console: Console, study: Study, result: Result, paths: Paths) -> None:
    """Print what a search found, and where to look further."""
    found = result.answer
    console.print()
    say(console, f"{study.name}: {states_text(found)} in {result.wall_s:.1f} s")
    if found.best is None:
        say(console, f"no trial reported a finite {found.metric}")
    else:
        say(console, verdict(found))
        say(console, f"its epoch {found.best.epoch}: {metrics_text(found.best.metrics)}")
        console.print(top_table(found))
        if found.front:
            say(console, front_text(found))
            console.print(front_table(found))
        if found.shown:
            console.print(choices_table(found))
    if found.curve is not None:
        console.print(curve_table(found.curve, width=console.width))
        say(console, f"curve      {found.curve.verdict}")
        say(console, f"           {curve_text(found.curve)}")
    if found.comparison is not None:
        console.print(comparison_table(found.comparison))
        say(console, f"compared   {found.comparison.verdict}")
    say_data(console, result.data)
    say(console, epochs_text(found, study))
    if result.ending == "interrupted":
        home = shlex.quote(str(paths.home))
        say(console, f"interrupted  go on with: python -m search resume {study.name} --home {home}")
    for message, count in found.failures.items():
        say(console, f"failed     {count} x {message}")
    for line in kept_lines(found, result.kept):
        say(console, line)
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
    for column in ("name", "data", "started", "trials"):
        table.add_column(column, no_wrap=column == "name")
    for row, states in recorded:
        table.add_row(row.name, _data_text(row), when_text(row.created_at), counts_text(states))
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


def choices_table(found: Answer) -> Table:
    """Return what the choices of a few categorical parameters came to."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for column in ("parameter", "choice"):
        table.add_column(column, no_wrap=True)
    for column in ("trials", "complete", f"best {found.metric}", "median", "epochs a trial"):
        table.add_column(column, justify="right", no_wrap=True)
    for name in found.shown:
        for c in found.choices[name]:
            first = name if c is found.choices[name][0] else ""
            counts = str(c.trials), str(c.completed)
            table.add_row(first, _value(c.choice), *counts, _number(c.best), _number(c.median), f"{c.epochs:.1f}")
        table.add_section()
    return table


def curve_table(found: Curve, *, width: int) -> Table:
    """Return the values of the parameter in order, and the baseline below them; what they are called where it fits."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    wide, two = width >= WIDE, found.objective != found.metric
    table.add_column(found.parameter, no_wrap=True, vertical="bottom")
    further = [f"best\n{found.objective}"] if two else []
    for column in ("trials", "pruned", f"best\n{found.metric}", *["trial"] * wide, "median", *further, "an\nepoch"):
        table.add_column(column, justify="right", no_wrap=True, vertical="bottom")
    digits = max((len(str(row.value)) for row in found.rows), default=0)
    for row in found.rows:
        name = f"  {row.name}" if row.name and wide else ""
        cells = _curve_cells(row, trial=wide, objective=two) if row.trials else ["0", "", "no trial"]
        table.add_row(escape(f"{row.value:>{digits}}{name}"), *cells)
    if found.baseline is not None:
        table.add_section()
        table.add_row("baseline", *_curve_cells(found.baseline, trial=wide, objective=two))
    return table


def curve_text(found: Curve) -> str:
    """Return what the table of a parameter's values is, in a line."""
    tried = sum(row.trials > 0 for row in found.rows)
    count = f"{tried} of {found.possible} values tried"
    return (
        f"{count}; a trial, pruned or not, counts with its {found.metric} at its best epoch (by {found.objective}); "
        "those of a row differ in their other parameters"
    )


def comparison_table(found: Comparison) -> Table:
    """Return the choices on the same splits, the best first."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    columns = (
        "trial",
        "searched",
        f"{found.metric}, {found.splits} splits",
        f"minus the best [{CONFIDENCE:.0%}]",
        "fit",
    )
    table.add_column(found.parameter, no_wrap=True)
    for column in columns:
        table.add_column(escape(column), justify="right", no_wrap=True)
    for row in found.rows:
        named = _value(row.choice), str(row.trial), f"{row.searched:.4g}"
        if row.error is not None:
            table.add_row(*named, escape(f"failed: {row.error}"))
            continue
        beside = "" if row.difference is None else f"{row.difference:+.3g}"
        if row.low is not None and row.high is not None:
            beside += f" [{row.low:+.2g}, {row.high:+.2g}]"
        cells = spread_text(row.mean, row.spread), escape(beside), time_text(row.seconds, row.seconds_spread)
        table.add_row(*named, *cells)
    return table


def spread_text(mean: float | None, spread: float | None) -> str:
    """Return ``0.972 ± 0.02``."""
    return _number(mean) if mean is None or spread is None else f"{mean:.3g} ± {spread:.2g}"


def time_text(mean_s: float | None, spread_s: float | None) -> str:
    """Return ``1.2 ± 0.1 s`` or ``12 ± 1.5 ms``."""
    if mean_s is None:
        return "-"
    factor, unit = (1.0, "s") if mean_s >= 1 else (1000.0, "ms")
    spread = "" if spread_s is None else f" ± {spread_s * factor:.2g}"
    return f"{mean_s * factor:.3g}{spread} {unit}"


def front_text(found: Answer) -> str:
    """Return what the table of the Pareto front is, in a line."""
    against = " and ".join(found.further)
    count = f"{len(found.front)} of {found.trials} trials"
    hidden = len(found.front) - FRONT_SHOWN
    rest = f" (the last {hidden} are in --json)" if hidden > 0 else ""
    return f"Pareto front of {found.metric} against {against}: {count} that no other beats in everything{rest}"


def front_table(found: Answer) -> Table:
    """Return the Pareto front, one row a trial, best by the first objective first."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for column in ("trial", found.metric, *found.further, "epoch"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("ended", no_wrap=True)
    table.add_column("parameters")
    for entry in found.front[:FRONT_SHOWN]:
        values = (_number(entry.values[name]) for name in (found.metric, *found.further))
        ended = entry.stop_reason or entry.state.lower()
        table.add_row(str(entry.trial), *values, str(entry.epoch), ended, params_text(entry.params))
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


def metrics_text(metrics: dict[str, float]) -> str:
    """Return ``train_loss 0.021, val_loss 0.054, val_accuracy 0.983``."""
    return ", ".join(f"{name} {value:.5g}" for name, value in metrics.items())


def epochs_text(found: Answer, study: Study) -> str:
    """Return what early stopping saved."""
    stopped = study.scheduler.name
    if stopped == "none":
        return f"epochs     {found.epochs_trained} trained; no scheduler stopped any trial"
    total = found.epochs_trained + found.epochs_saved
    share = f" of {total} ({found.epochs_saved / total:.0%})" if total else ""
    return f"epochs     {found.epochs_trained} trained; {stopped} saved {found.epochs_saved}{share}"


def kept_lines(found: Answer, kept: Kept) -> list[str]:
    """Return what of the checkpoints is on disk, and where the best model is."""
    if not kept.checkpoints:
        return ["models     none kept"]
    what = "checkpoint" if kept.checkpoints == 1 else "checkpoints"
    lines = [f"models     {kept.checkpoints} {what} kept, {kept.size_mb:.2f} MB"]
    if found.best is not None and kept.best_model is None:
        lines.append(f"           the best model is not among them (trial {found.best.trial}, {found.best.state})")
    elif found.best is not None:
        so_far = "" if found.best.state in FINISHED else "; as of the trial's last checkpoint"
        lines.append(f"best model {kept.best_model}{so_far}")
    return lines


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


def _data_text(row: StudyRow) -> str:
    """Return ``digits (1079 train)``; the name alone where the ledger holds no more."""
    facts = row.facts.get(DATA)
    return (
        f"{facts['name']} ({facts['train']} train)" if facts else str(row.declaration.get("data", {}).get("name", ""))
    )


def _cells(entry: Entry) -> tuple[str, ...]:
    ended = entry.stop_reason or entry.state.lower()
    return str(entry.trial), f"{entry.value:.5g}", str(entry.epoch), ended, params_text(entry.params)


def _curve_cells(row: CurveRow, *, trial: bool, objective: bool) -> list[str]:
    which = ["-" if row.trial is None else str(row.trial)] if trial else []
    reached = [_number(row.objective)] if objective else []
    return [
        *(str(row.trials), str(row.pruned), _number(row.best), *which),
        *(_number(row.median), *reached, time_text(row.seconds, None)),
    ]


def _number(value: float | None) -> str:
    """Return ``0.079566``, a count in full, ``102,410``, and ``-`` where there is none."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.5g}"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
