"""Events of a study itself: how it was declared, changed, moved, and why its search ended."""

from __future__ import annotations

from typing import Any

from search.ledger.event import Event, EventKind, Level
from trainables.stage import duration


class CredentialsRemoved(Event):
    """Passwords or tokens that an older Lanewise had stored were taken out of the ledger.

    Attributes:
        texts: how many declarations, events and messages held some.
    """

    kind = EventKind.CREDENTIALS_REMOVED
    level = Level.WARNING
    texts: int

    def _text(self) -> str:
        texts = "1 text" if self.texts == 1 else f"{self.texts} texts"
        return (
            f"passwords or tokens that an older Lanewise had stored were taken out of {texts} of the ledger; "
            "copies of it, and what was sent to MLflow, may still hold them: change them"
        )


class Redeclared(Event):
    """One field of the declaration changed where a study went on, and no result depends on it.

    Attributes:
        field: its dotted name.
        before, after: its values as plain data; ``absent`` where a declaration has no such field.
    """

    kind = EventKind.REDECLARED
    field: str
    before: Any
    after: Any

    def _text(self) -> str:
        return f"{self.field}: {self.before} -> {self.after}"


class Extended(Redeclared):
    """One field of the declaration was changed by ``extend``."""

    kind = EventKind.EXTENDED


class TrialsKept(Event):
    """How many of the trials before an extension lie in the space after it."""

    kind = EventKind.TRIALS_KEPT
    fitting: int
    trials: int

    def _text(self) -> str:
        return f"{self.fitting} of {self.trials} trials fit and are told to the sampler"


class LedgerMigrated(Event):
    """The ledger was brought to a newer version of its schema.

    Attributes:
        copy_of_old: the file that holds it as it was; None in a database server.
    """

    kind = EventKind.LEDGER_MIGRATED
    old_version: int
    new_version: int
    copy_of_old: str | None

    def _text(self) -> str:
        kept = "" if self.copy_of_old is None else f"; a copy of it as it was is in {self.copy_of_old}"
        return f"the ledger was brought from schema version {self.old_version} to {self.new_version}{kept}"


class ModelChanged(Event):
    """The study went on with a model that is not the one it began with, as the user accepted.

    Attributes:
        change: what it was and what it is.
    """

    kind = EventKind.MODEL_CHANGED
    level = Level.WARNING
    change: str

    def _text(self) -> str:
        return f"the model is not what it was: {self.change}, as was accepted"


class VersionsChanged(Event):
    """The study went on with other versions of Python or of packages than it began with.

    Attributes:
        changes: those that differ, by name: the version before and now; None where it was not or is not installed.
    """

    kind = EventKind.VERSIONS_CHANGED
    level = Level.WARNING
    changes: dict[str, tuple[str | None, str | None]]

    def _text(self) -> str:
        changes = [f"{name} {old or 'absent'} -> {new or 'absent'}" for name, (old, new) in self.changes.items()]
        return (
            f"since the study began: {', '.join(changes)}; it goes on, but equality bit for bit with a search that "
            "was never interrupted is not promised"
        )


class GainBelow(Event):
    """No further trial begins, for more of them are expected to bring less than the study asks for.

    Attributes:
        trials: that had ended, the baseline left out.
        planned: the trials that the declaration had then, the baseline included.
        metric: the objective.
        gain: what twice as many trials were expected to better it by.
        below: the gain that the study asks for.
    """

    kind = EventKind.GAIN_BELOW
    trials: int
    planned: int
    metric: str
    gain: float
    below: float

    def _text(self) -> str:
        return (
            f"ended after {self.trials} trials beside the baseline, of {self.planned}: twice as many are expected to "
            f"better {self.metric} by {self.gain:.3g}, less than {self.below:g} (--until-gain-below)"
        )


class ProposalsSlow(Event):
    """The proposals that are left take longer than the training beside them.

    Attributes:
        sampler: that proposes.
        trials: that were proposed.
        planned: the trials of the budget.
        proposal_s: seconds of one proposal now.
        left_s: seconds of those that are left, an extrapolation.
        training_s: seconds of the training that is left, at the pace so far.
    """

    kind = EventKind.PROPOSALS_SLOW
    level = Level.WARNING
    sampler: str
    trials: int
    planned: int
    proposal_s: float
    left_s: float
    training_s: float

    def _text(self) -> str:
        return (
            f"{self.sampler} takes {self.proposal_s:.2g} s a proposal after {self.trials} trials; for the "
            f"{self.planned - self.trials} that are left its proposals take about {duration(self.left_s)}, training "
            f"about {duration(self.training_s)}"
        )


class ShareUsedUp(Event):
    """A choice of the balanced parameter had all its points tried, and the others had the rest of its share.

    Attributes:
        parameter, choice: the balanced parameter and its value.
        trials: that had this value.
    """

    kind = EventKind.SHARE_USED_UP
    parameter: str
    choice: bool | int | float | str
    trials: int

    def _text(self) -> str:
        return f"{self.parameter}={self.choice} has no more points after {self.trials} trials; the others had its share"


class SpaceExhausted(Event):
    """Every point of the space was tried.

    Attributes:
        trials: that have ended.
    """

    kind = EventKind.SPACE_EXHAUSTED
    trials: int

    def _text(self) -> str:
        return f"the space has no more points after {self.trials} trials"


class TrialNote(Event):
    """Something that a trial's own code, or what drives it, has to say.

    Attributes:
        about: ``note`` or ``artifact`` (the name of a file of the trial's) of the code itself; else what kind it is.
        note: in one line.
        path: where an artifact lay when it was noted; None for anything else.
    """

    kind = EventKind.TRIAL_NOTE
    trial: int
    about: str
    note: str
    path: str | None = None

    def _text(self) -> str:
        return f"trial {self.trial}: {'artifact ' if self.about == 'artifact' else ''}{self.note}"
