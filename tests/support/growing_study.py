"""A study that seems to be searched: a session of this process is open, and trials are added by hand."""

from contextlib import contextmanager

from benchmarks.report_page import DATA
from search.declaration.studies import find
from search.declaration.validate import valid_study
from search.drive.versions import versions
from search.ledger import Ledger, LedgerWriter, StudyFacts
from search.ledger.outcome import Outcome, SessionEnding, StopReason
from search.ledger.paths import Paths


class GrowingStudy:
    """One without a trial at first.

    Attributes:
        paths: where it lies.
    """

    def __init__(self, paths, ledger):
        self.paths = paths
        self._ledger = ledger
        self._id = ledger.study(paths.name).id
        self._writer = LedgerWriter(ledger, self._id)
        self._session = ledger.start_session(self._id)

    def add(self, number, *losses, ends=True):
        """Add a trial with a value for each of its epochs."""
        params = {"dropout": 0.1, "learning_rate": 0.01 * (number + 1)}
        self._writer.trial_started(number, params, config_hash=f"{number}", seed=0, sampler_attrs={}, repeats=[])
        for epoch, loss in enumerate(losses, 1):
            metrics = {"train_loss": loss, "val_loss": loss, "val_accuracy": 0.5, "lr": 0.1}
            self._writer.epoch(number, epoch, seconds=0.1, metrics=metrics)
        if ends:
            self._writer.trial_ended(number, Outcome(StopReason.MAX_EPOCHS))
        self._writer.flush()

    def end(self, ending=SessionEnding.DONE):
        """Let its search end."""
        self._ledger.end_session(self._session, ending)


@contextmanager
def growing_study(home, name="mine", *, planned=40, epochs=4):
    """Record a study without a trial, and yield it as one that is searched."""
    budget = {"trials": planned, "max_epochs": epochs}
    study = valid_study({**find("regularization").model_dump(), "name": name, "budget": budget})
    paths = Paths(home, name)
    paths.folder.mkdir(parents=True)
    facts = StudyFacts.model_validate({"uid": name, "versions": versions(), "data": {**DATA, "notices": []}})
    with Ledger(paths.ledger_url, create=True) as ledger:
        ledger.create_study(name, study.model_dump(mode="json"), fingerprint="f" * 64, facts=facts)
        yield GrowingStudy(paths, ledger)
