"""A study that is watched: its report, written anew when its ledger has something new, and not too often."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from search.drive.lookup import open_ledger
from search.drive.overview import Ending, last_ending
from search.drive.report import read_material
from search.errors import UserError
from search.ledger import FitRole
from search.ledger.events import EventKind
from search.ledger.outcome import SessionEnding, TrialState
from search.ledger.paths import Paths
from search.report.page.document import Document, Live
from search.report.page.html import contents, to_html
from search.report.page.material import Material
from search.report.page.report import report
from trainables.data.parts import counted
from trainables.stage import duration

LEAST_S = 2.0
"""Seconds between two looks at the ledger, and between two questions of a page."""

ENDED_S = 15.0
"""Seconds between the questions of a page whose search has ended: it may be resumed, extended or confirmed."""

REST = 20.0
"""Such seconds that less than 5% of a core goes into the reports of a search."""

ENDINGS: dict[str, str] = {
    SessionEnding.DONE: "The search has ended",
    SessionEnding.INTERRUPTED: "The search was interrupted",
    SessionEnding.FAILED: "The search failed",
    SessionEnding.DIED: "The search ended without a word: its process is gone",
}

State: TypeAlias = tuple[Ending, tuple[int | None, ...]]
"""How the last session ended, and ``Ledger.newest``: one of them differs when there is news."""


@dataclass(frozen=True)
class Shown:
    """What a page shows.

    Attributes:
        document: the report.
        live: where the study stands.
        version: counts what was shown.
    """

    document: Document
    live: Live
    version: int

    @property
    def page(self) -> str:
        """The whole page."""
        return to_html(self.document, self.live)

    @property
    def contents(self) -> str:
        """What of the page changes."""
        return contents(self.document, self.live)


class WatchedStudy:
    """The report of a study, whoever drives that; its ledger is read and nothing else. Safe for several threads.

    Args:
        paths: where the study lies.
        least_s: seconds between two looks at its ledger.
        rest: seconds without another report for each second of a core that one took.
        now: the clock, in seconds.

    Raises:
        UserError: there is no such study, it cannot be read, or there is nothing to report yet and nobody searches it.
    """

    def __init__(
        self, paths: Paths, *, least_s: float = LEAST_S, rest: float = REST, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._paths, self._least_s, self._rest, self._now = paths, least_s, rest, now
        self._lock = threading.Lock()
        self._seen = self._look()
        self._shown = self._write(version=1)

    def shown(self) -> Shown:
        """Return what is to be shown now; it is read anew where that is due."""
        with self._lock:
            if self._now() >= self._look_at:
                self._refresh()
            return self._shown

    def _refresh(self) -> None:
        self._look_at = self._now() + self._least_s
        before, shown = self._seen, self._shown
        try:
            state = self._look()
            if state != before and (state[0] != before[0] or self._now() >= self._write_at):
                self._seen, self._shown = state, self._write(version=shown.version + 1)
        except UserError as error:
            live = Live(f"{error}; below is what was known until then.", going=False, every_s=ENDED_S)
            if live != shown.live:
                self._shown = replace(shown, live=live, version=shown.version + 1)

    def _look(self) -> State:
        with open_ledger(self._paths) as ledger:
            row = ledger.study(self._paths.name)
            return last_ending(ledger, row), ledger.newest(row.id)

    def _write(self, *, version: int) -> Shown:
        before = time.process_time()
        material = read_material(self._paths, begun=True)
        going = material.ending == "running"
        said = _going_on(material, self._runs_confirmed()) if going else ENDINGS[material.ending]
        live = Live(
            f"{said}; as of {time.strftime('%H:%M:%S')}.", going=going, every_s=self._least_s if going else ENDED_S
        )
        shown = Shown(report(material), live, version)
        self._look_at = self._now() + self._least_s
        self._write_at = self._now() + self._rest * (time.process_time() - before)
        return shown

    def _runs_confirmed(self) -> int | None:
        """Return how many runs of a confirmation are recorded; None where this session has not begun one."""
        with open_ledger(self._paths) as ledger:
            study = ledger.study(self._paths.name).id
            began = max((session.started_at for session in ledger.sessions(study)), default=0.0)
            if all(event.at < began for event in ledger.events(study, EventKind.CONFIRM_BEGUN)):
                return None
            return len(ledger.fits(study, FitRole.CONFIRM, FitRole.ABLATION))


def _going_on(material: Material, confirmed: int | None) -> str:
    """Return what the process that drives a study is at."""
    if confirmed is not None:
        return f"Confirming what the search found: {counted(confirmed, 'run')} trained"
    states = [TrialState(state) for state in material.trials["state"]]
    ended = sum(state.ended for state in states)
    paused = states.count(TrialState.PAUSED)
    counts = ((len(states) - ended - paused, "running"), (paused, "paused"))
    running = "".join(f", {count} {word}" for count, word in counts if count)
    planned = counted(material.study.budget.trials, "trial")
    return f"Searching: {ended} of {planned} ended{running}, {duration(material.seconds)} so far"
