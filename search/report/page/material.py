"""What a report is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search.report.leaderboard import leaderboard

if TYPE_CHECKING:
    import pandas as pd

    from search.declaration.study import Study
    from search.ledger import StudyFacts
    from search.report.answer import Answer


@dataclass(frozen=True)
class Commands:
    """What can be typed of this study, each as it stands.

    Attributes:
        confirm: trains what is missing of the confirmation.
        more_pairs: trains more pairs of it.
        resume: continues the study; None where there is nothing to continue, or a process is at it.
        reproduce: what prints the declaration, and what runs it again, by what each does.
    """

    confirm: str
    more_pairs: str
    resume: str | None
    reproduce: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Material:
    """A study as its ledger has it.

    Attributes:
        trials: the frame of ``Ledger.trials_frame``.
        epochs: the frame of ``Ledger.epochs_frame``.
        ending: how its last session ended; ``running`` and ``not started`` among them.
        finished: whether it was searched to its end.
        seconds: that its sessions took.
        declaration: the study as YAML, without credentials.
        fingerprint: of the data.
        service: the version of Lanewise that wrote the report.
    """

    study: Study
    answer: Answer
    trials: pd.DataFrame
    epochs: pd.DataFrame
    facts: StudyFacts
    ending: str
    finished: bool
    seconds: float
    commands: Commands
    declaration: str
    fingerprint: str
    service: str

    @property
    def board(self) -> pd.DataFrame:
        """The frame of ``leaderboard``."""
        return leaderboard(self.trials, self.epochs, self.study.objective, self.answer.smoothed)

    @property
    def ascending(self) -> bool:
        """Whether lower values of the objective are better."""
        return self.study.objective.direction.ascending

    @property
    def versions(self) -> Mapping[str, str]:
        """What the study began with."""
        return self.facts.versions
