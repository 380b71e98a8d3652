"""The live view of a search: a panel in a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from search.executors.progress import Progress, View
from search.ledger.outcome import shown_counts
from search.signs.heartbeat import AFTER_S
from search.signs.life import TERMINAL
from trainables.data.parts import counted
from trainables.stage import duration, stages

REFRESH_S = 0.25
REFRESHES_A_SECOND = 2
"""Of the panel by itself, whatever the search does: an epoch may take minutes."""

PLAIN_LINE_S = 5.0


class Silent:
    """Shows nothing."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, progress: Progress) -> None:
        """Ignore it."""

    def say(self, text: str) -> None:
        """Ignore it."""


class Lines(Silent):
    """One plain line every few seconds, for logs and pipes; ``every_s`` seconds apart."""

    def __init__(self, console: Console, *, metric: str, every_s: float = PLAIN_LINE_S) -> None:
        self._console = console
        self._metric = metric
        self._every_s = every_s
        self._last = time.monotonic()
        self._outer: int | None = None

    def __enter__(self) -> Lines:
        self._outer = len(stages())
        return self

    def update(self, progress: Progress) -> None:
        """Print a line when the last one is old enough."""
        now = time.monotonic()
        if now - self._last >= self._every_s:
            self._last = now
            inner = [] if self._outer is None else stages()[self._outer :]
            self.say(summary(progress, self._metric, doing=inner[-1].what if inner else ""))

    def say(self, text: str) -> None:
        """Print one line."""
        TERMINAL.spoken()
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class Quiet(Lines):
    """Says what a user must know, and nothing of how far the search is."""

    def update(self, progress: Progress) -> None:
        """Ignore it."""


class Panel:
    """A table that redraws itself in place: when it is told something, at most every ``refresh_s``, and by itself."""

    def __init__(self, console: Console, *, metric: str, refresh_s: float = REFRESH_S) -> None:
        self._console = console
        self._metric = metric
        self._refresh_s = refresh_s
        self._last = 0.0
        self._progress: Progress | None = None
        self._outer: int | None = None
        self._live = Live(
            console=console,
            refresh_per_second=REFRESHES_A_SECOND,
            transient=True,
            get_renderable=self._drawn,
        )

    def __enter__(self) -> Panel:
        self._outer = len(stages())
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self, progress: Progress) -> None:
        """Redraw when the last picture is old enough."""
        self._progress = progress
        now = time.monotonic()
        if now - self._last >= self._refresh_s:
            self._last = now
            self._live.refresh()

    def _drawn(self) -> RenderableType:
        """Return what is shown now; called in a thread of the console's too."""
        if self._outer is None:
            return Text("")
        TERMINAL.spoken()
        now = time.monotonic()
        inner = [stage for stage in stages()[self._outer :] if stage.at_once or now - stage.began >= AFTER_S]
        doing = inner[-1].line(now) if inner else ""
        if self._progress is None:
            return Text(f"... {doing}" if doing else "")
        return panel(self._progress, self._metric, doing=doing)

    def say(self, text: str) -> None:
        """Print one line above the table."""
        TERMINAL.spoken()
        self._console.print(Text(text))


def make_view(console: Console, *, metric: str, silent: bool = False, quiet: bool = False) -> View:
    """Return the view that fits the output; a ``silent`` one shows nothing, a ``quiet`` one no progress."""
    if silent:
        return Silent()
    if quiet:
        return Quiet(console, metric=metric)
    return Panel(console, metric=metric) if console.is_terminal else Lines(console, metric=metric)


def panel(progress: Progress, metric: str, *, doing: str = "") -> Table:
    """Return the live table; ``doing`` says what is done beside training."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column()
    done, what = far(progress)
    table.add_row("trials", f"{done} of {progress.trials} {what}   {states_text(progress)}")
    if progress.best_trial is not None:
        best = f"{metric} {progress.best_value:.5g} in trial {progress.best_trial}"
        if math.isfinite(progress.baseline_value):
            best += f"   (baseline {progress.baseline_value:.5g})"
        table.add_row("best", best)
    if progress.ended < progress.trials:
        pace = "" if pace_text(progress) is None else f", {pace_text(progress)}"
        table.add_row("epochs", f"{epochs_text(progress)} trained{pace}")
        table.add_row("time", f"{duration(progress.elapsed_s)} gone, {left(progress)}")
    else:  # what comes after the trials has a pace of its own
        table.add_row("epochs", f"{progress.epochs} trained")
        table.add_row("time", f"{duration(progress.elapsed_s)} gone")
    if doing:
        table.add_row("now", doing)
    return table


def summary(progress: Progress, metric: str, *, doing: str = "") -> str:
    """Return where a search stands in one line, of what is known; ``doing`` says what is done beside training."""
    states = states_text(progress)
    if not progress.epochs and not progress.ended:
        so_far = f"{states}, no epoch ended" if states else "none started"
        line = f"{counted(progress.trials, 'trial')}: {so_far} after {duration(progress.elapsed_s)}"
        return f"{line}; {doing}" if doing else line
    done, what = far(progress)
    parts = [f"{done}/{progress.trials} trials {what} ({states})"]
    if progress.total_epochs is not None and what == "begun":
        parts.append(f"{epochs_text(progress)} epochs")
    if progress.best_trial is not None:
        parts.append(f"best {metric} {progress.best_value:.5g} (trial {progress.best_trial})")
    if (pace := pace_text(progress)) is not None:
        parts.append(pace)
    return ", ".join([*parts, left(progress)])


def far(progress: Progress) -> tuple[int, str]:
    """Return how many trials ended; while trials wait for others, and so do not end, how many have begun."""
    if progress.pauses and progress.ended < progress.begun:
        return progress.begun, "begun"
    return progress.ended, "ended"


def epochs_text(progress: Progress) -> str:
    """Return the epochs trained, of how many where they are limited."""
    return f"{progress.epochs}" + ("" if progress.total_epochs is None else f" of {progress.total_epochs}")


def states_text(progress: Progress) -> str:
    """Return the trials by state: ``2 running, 20 pruned, 4 complete``; empty before any started."""
    parts = [f"{count} {word}" for word, count in shown_counts(progress.states, progress.diverged).items()]
    return ", ".join(parts)


def pace_text(progress: Progress) -> str | None:
    """Return epochs a second since the first trial started, or below one the time of an epoch; None before any."""
    if not progress.epochs or progress.training_s <= 0:
        return None
    pace = progress.epochs / progress.training_s
    return f"{pace:.0f} epochs/s" if pace >= 1.5 else f"an epoch in {1 / pace:.2g} s"


def left(progress: Progress) -> str:
    """Return the estimated time left, in words."""
    seconds = progress.seconds_left()
    return "time left unknown" if seconds is None else f"about {duration(seconds)} left"
