"""Which pruned trials are audited: trained to their end after the search, to tell what pruning them cost."""

from __future__ import annotations

from search.declaration.study import Study
from trainables.derive import derive

SEEDS = 2**63
"""``derive`` draws evenly below this."""


def is_drawn(study: Study, number: int) -> bool:
    """Say whether trial ``number`` is audited if it is pruned.

    Drawn for each trial with the probability ``scheduler.audit_fraction``, from the study's seed and the number alone:
    it does not depend on anything that happens in the search, and nothing there depends on it.
    """
    return derive(study.seed, "audit", number) < study.scheduler.audit_fraction * SEEDS
