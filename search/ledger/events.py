"""What happens in a study beside its trials, epochs and decisions: a record each, and the sentence it is shown as.

The ledger stores the record; the sentence is made of it, whenever one is shown. No code reads a sentence back. All are
found here, by kind.
"""

from __future__ import annotations

from collections.abc import Mapping

from search.ledger.event import Event as Event
from search.ledger.event import EventKind as EventKind
from search.ledger.event import Level as Level
from search.ledger.fault_events import Aborted as Aborted
from search.ledger.fault_events import ActorLost as ActorLost
from search.ledger.fault_events import CheckpointNote as CheckpointNote
from search.ledger.fault_events import LaneModeMeasured as LaneModeMeasured
from search.ledger.fault_events import LanesChosen as LanesChosen
from search.ledger.fault_events import LanesHalved as LanesHalved
from search.ledger.fault_events import LaneWorkerLost as LaneWorkerLost
from search.ledger.fault_events import TriedAlone as TriedAlone
from search.ledger.later_events import AuditEnded as AuditEnded
from search.ledger.later_events import ConfirmBegun as ConfirmBegun
from search.ledger.later_events import ConfirmEnded as ConfirmEnded
from search.ledger.later_events import HeldOutOpened as HeldOutOpened
from search.ledger.later_events import RefitsMissing as RefitsMissing
from search.ledger.study_events import CredentialsRemoved as CredentialsRemoved
from search.ledger.study_events import Extended as Extended
from search.ledger.study_events import GainBelow as GainBelow
from search.ledger.study_events import LedgerMigrated as LedgerMigrated
from search.ledger.study_events import ModelChanged as ModelChanged
from search.ledger.study_events import ProposalsSlow as ProposalsSlow
from search.ledger.study_events import Redeclared as Redeclared
from search.ledger.study_events import ShareUsedUp as ShareUsedUp
from search.ledger.study_events import SpaceExhausted as SpaceExhausted
from search.ledger.study_events import TrialNote as TrialNote
from search.ledger.study_events import TrialsKept as TrialsKept
from search.ledger.study_events import VersionsChanged as VersionsChanged
from search.ledger.surrogate_events import ChoicesWeighed as ChoicesWeighed
from search.ledger.surrogate_events import CurvesSmoothed as CurvesSmoothed
from search.ledger.surrogate_events import SchedulerReplaced as SchedulerReplaced
from search.ledger.surrogate_events import SurrogateFailed as SurrogateFailed

EVENTS: Mapping[EventKind, type[Event]] = {
    event.kind: event
    for event in (
        Aborted,
        ActorLost,
        AuditEnded,
        CheckpointNote,
        ChoicesWeighed,
        ConfirmBegun,
        ConfirmEnded,
        CredentialsRemoved,
        CurvesSmoothed,
        Extended,
        GainBelow,
        LaneModeMeasured,
        LanesChosen,
        LaneWorkerLost,
        LanesHalved,
        LedgerMigrated,
        ModelChanged,
        ProposalsSlow,
        Redeclared,
        RefitsMissing,
        SchedulerReplaced,
        ShareUsedUp,
        SpaceExhausted,
        HeldOutOpened,
        SurrogateFailed,
        TrialNote,
        TrialsKept,
        TriedAlone,
        VersionsChanged,
    )
}
"""The record of each kind."""
