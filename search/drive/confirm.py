"""After a search, or of any recorded study: its finalists and the baseline on fresh pairs, and what each part is worth.

Every run is a row of the ledger, written when it ended; a resume trains what is missing, and no more. Nothing of it is
told to the sampler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from search.declaration.study import Study
from search.drive.finalists import by_surrogate
from search.drive.pairs import Pairs
from search.drive.predictions import keep_predictions
from search.executors.control import Control
from search.executors.fits import FitRunner, Job
from search.executors.fork_server import can_fork, fork_server
from search.ledger import FitRole, Ledger, LedgerWriter
from search.ledger.confirmed import read_confirmed
from search.ledger.events import ConfirmBegun, ConfirmEnded, HeldOutOpened
from search.ledger.outcome import StopReason
from search.ledger.paths import Paths
from search.ledger.printed_commands import confirm_command
from search.report.ablation import variants
from search.report.confirmation import Candidate, ablated_standing, candidates, confirmation, is_settled
from search.report.leaderboard import leaderboard
from search.report.paired import LOOKS
from spaces import BASELINE_TRIAL, hash_params
from trainables.data.parts import counted
from trainables.data.spec import NO_DATA
from trainables.errors import DataError
from trainables.pace import Pace
from trainables.registry import TRAINABLES, find_trainable
from trainables.stage import stage

if TYPE_CHECKING:
    import pandas as pd

Say: TypeAlias = "Callable[[str], None]"

ABLATED_SHARE = 4.0
"""By default an ablation may train this many times the epochs that the search trained, and where trials stack."""


@dataclass
class Confirming:
    """One confirmation of a study whose lock is held.

    Attributes:
        study: the declaration; its ``confirm`` says how much is trained.
        say: prints one line for the user.
    """

    study: Study
    ledger: Ledger
    study_id: int
    control: Control
    paths: Paths
    say: Say

    def run(self) -> str | None:
        """Train what is missing of the confirmation and of the ablation, as far as time and signals allow.

        Returns:
            Why there is nothing to confirm; None where there is.
        """
        board = self._board()
        count, one_of_each = self.study.confirm.finalists, self.study.curve
        baseline, finalists = candidates(board, count, one_of_each=one_of_each)
        modelled = by_surrogate(self.study, self.ledger, self.study_id, board)
        if (smoothed := candidates(modelled, count, one_of_each=one_of_each)[1]) != finalists:
            names = [", ".join(str(c.trial) for c in chosen) for chosen in (smoothed, finalists)]
            self.say(f"finalists {names[0]} by the model of the curves; by their best values they would be {names[1]}")
            finalists = smoothed
        if (why := why_not(self.study, baseline, finalists)) is not None:
            return why
        assert baseline is not None
        if self.control.stopping is not None:
            runs = (len(finalists) + 1) * (self.study.confirm.pairs if self.study.confirm.pairs != "auto" else LOOKS[0])
            self._say_what_is_missing(runs, runs)
            return None
        with ExitStack() as stack:
            runner = _runner(self.study, self.control, self.paths, self.say, stack)
            pairs = Pairs(self.study)
            try:
                done = self._confirm(runner, pairs, board, baseline, finalists)
                if done:
                    self._ablate(runner, pairs, board)
            except DataError as error:
                return "; ".join(error.errors)
        return None

    def _board(self) -> pd.DataFrame:
        ledger, study_id = self.ledger, self.study_id
        return leaderboard(ledger.trials_frame(study_id), ledger.epochs_frame(study_id), self.study.objective)

    def _confirm(
        self, runner: FitRunner, pairs: Pairs, board: pd.DataFrame, baseline: Candidate, finalists: Sequence[Candidate]
    ) -> bool:
        """Train the finalists and the baseline; return whether all runs are there."""
        asked = self.study.confirm.pairs
        auto, most = asked == "auto", LOOKS[-1] if asked == "auto" else int(asked)
        trials = tuple(c.trial for c in finalists)
        self._record_once(ConfirmBegun(finalists=trials, pairs=most, auto=auto))
        jobs = [Job(FitRole.CONFIRM, c.config_hash, c.params, c.trial, test=True) for c in (baseline, *finalists)]
        for look in LOOKS if auto else (most,):
            missing = self._missing(jobs, range(look))
            if missing:
                number = f"{look} pairs" + (f", of at most {most}" if auto else "")
                self.say(f"confirming {counted(len(finalists), 'finalist')} and the baseline on {number} ...")
                has_test = self.study.data.source != NO_DATA
                opened = HeldOutOpened(finalists=trials, pairs=tuple(missing)) if has_test else None
                if not self._train(runner, pairs, missing, opened):
                    return False
            if auto and is_settled(confirmation(self.study, board, read_confirmed(self.ledger, self.study_id))):
                break
        return True

    def _ablate(self, runner: FitRunner, pairs: Pairs, board: pd.DataFrame) -> None:
        """Train what tells the worth of each parameter of the recommended configuration, where that is due."""
        found = confirmation(self.study, board, read_confirmed(self.ledger, self.study_id))
        if found is None or self.study.confirm.ablate is False:
            return
        ablated = ablated_standing(found)
        if ablated is None:
            return
        confirmed = {hash_params(dict(s.params)) for s in (found.baseline, *found.finalists)}
        jobs = {
            h: Job(FitRole.ABLATION, h, point, None)
            for v in variants(self.study.space, ablated.params)
            for point in (v.set_back, v.alone)
            if (h := hash_params(dict(point))) not in confirmed
        }
        missing = self._missing(list(jobs.values()), range(found.pairs))
        runs = sum(map(len, missing.values()))
        if not runs:
            return
        if self.study.confirm.ablate is None and (why := self._too_dear(len(jobs) * found.pairs)) is not None:
            self.say(f"what each parameter is worth was not tried: {why}; try it with: {self._command('--ablate')}")
            return
        self.say(
            f"setting each parameter of trial {ablated.trial} back, and each alone on the baseline: {runs} runs ..."
        )
        self._train(runner, pairs, missing, None)

    def _too_dear(self, runs: int) -> str | None:
        """Return why an ablation is not made unless asked for; None where it is cheap."""
        if not stacks_here(self.study):
            return "trials do not stack here"
        searched = len(self.ledger.epochs(self.study_id))
        epochs = runs * self.study.budget.max_epochs
        if epochs > ABLATED_SHARE * searched:
            return (
                f"it takes {runs} runs of {self.study.budget.max_epochs} epochs, and the search had {searched} epochs"
            )
        return None

    def _missing(self, jobs: Sequence[Job], pairs: Iterable[int]) -> dict[int, list[Job]]:
        """Return the jobs that have no row yet, by pair."""
        # a run of the confirmation tells an ablation what it needs, and not the reverse: that was not scored on test
        roles = {FitRole.CONFIRM, *(job.role for job in jobs)}
        have = {(fit.config_hash, fit.split) for fit in self.ledger.fits(self.study_id, *roles)}
        found = {pair: [job for job in jobs if (job.config_hash, pair) not in have] for pair in pairs}
        return {pair: left for pair, left in found.items() if left}

    def _train(
        self, runner: FitRunner, pairs: Pairs, missing: dict[int, list[Job]], opened: HeldOutOpened | None
    ) -> bool:
        """Train jobs pair by pair, each recorded when it ends; return whether all of them were."""
        runs, done = sum(map(len, missing.values())), 0
        role = next(iter(missing.values()))[0].role
        name, doing = ("confirmation", "confirming") if role is FitRole.CONFIRM else ("ablation", "ablating")
        with stage(f"{doing}, run by run", total=runs) as training:
            pace = Pace(self.say, name, stage=training)
            for number, jobs in missing.items():
                if self.control.stopping is not None:
                    break
                pair = pairs.load(number)
                if opened is not None:
                    self._record_once(opened)
                for fit in runner.run(pair, jobs):
                    keep_predictions(self.paths, fit)
                    self.ledger.add_fits(self.study_id, [fit.row])
                    done += 1
                    training.done = done
                    pace.update(done / runs)
        if done < runs:
            self._say_what_is_missing(runs - done, runs)
        return done == runs

    def _record_once(self, event: ConfirmBegun | HeldOutOpened) -> None:
        """Record an event, unless it goes on with what the last one of its kind began."""
        rows = self.ledger.events(self.study_id, event.kind)
        last = rows[-1].event if rows else None
        if last == event or (isinstance(event, HeldOutOpened) and _goes_on(event, last)):
            return
        writer = LedgerWriter(self.ledger, self.study_id)
        writer.event(event)
        writer.flush()

    def _say_what_is_missing(self, missing: int, runs: int) -> None:
        writer = LedgerWriter(self.ledger, self.study_id)
        event = ConfirmEnded(missing=missing, runs=runs, reason=self.control.stopping or StopReason.USER)
        writer.event(event)
        writer.flush()
        self.say(f"{event.sentence}; go on with: {self._command()}")

    def _command(self, options: str = "") -> str:
        return confirm_command(self.paths, options)


def _goes_on(event: HeldOutOpened, last: object) -> bool:
    """Say whether an opening is the rest of one that was interrupted: the same finalists, on pairs that it had."""
    return isinstance(last, HeldOutOpened) and last.finalists == event.finalists and set(event.pairs) <= set(last.pairs)


def why_not(study: Study, baseline: Candidate | None, finalists: Sequence[Candidate]) -> str | None:
    """Return why there is nothing to confirm; None where there is."""
    if baseline is None:
        return f"the baseline, trial {BASELINE_TRIAL}, has no finite {study.objective.metric}"
    if not finalists:
        return "no trial but the baseline has finished"
    return None


def stacks_here(study: Study) -> bool:
    """Say whether configurations of a study train as stacks in this process."""
    return find_trainable(study.trainable).stacks and in_this_process(study)


def in_this_process(study: Study) -> bool:
    """Say whether fits may run in the driver: our own code, which can neither hang nor exit, and no cluster named."""
    resources = study.resources
    return study.trainable in TRAINABLES and resources.address is None and not resources.gpus_per_trial


def _runner(study: Study, control: Control, paths: Paths, say: Say, stack: ExitStack) -> FitRunner:
    """Return what trains: in this process where that is safe, else in others of this machine, or on Ray."""
    if in_this_process(study):
        from search.executors.lane_fits import LaneFits

        return LaneFits(study, control)
    if study.resources.address is None and not study.resources.gpus_per_trial and can_fork():
        from search.executors.forked_fits import ForkedFits

        return ForkedFits(study, stack.enter_context(fork_server()), control, paths.folder / "confirm.log")
    from search.executors.ray_fits import RayFits
    from search.executors.ray_session import ray_session

    stack.enter_context(ray_session(study.resources, say=say))
    return RayFits(study, control)
