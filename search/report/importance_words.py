"""What each parameter was worth, in words."""

from __future__ import annotations

from search.report.effects import Interval
from search.report.importance import GapEffect, Importance

GAPS_SHOWN = 3


def importance_lines(found: Importance) -> list[str]:
    """Return what stands below the table: where it is from, interactions, the gap, warnings."""
    if found.problem is not None:
        return [f"importance {found.problem}"]
    nothing = sum(not row.stands_out for row in found.parameters)
    lines = [
        f"importance of {found.trials} trials at epoch {found.epoch}, [95%]; {nothing} of {len(found.parameters)} "
        "parameters cannot be told from nothing (p > 0.05)"
    ]
    if found.interactions:
        pairs = (f"{' x '.join(i.parameters)} {percent_text(i.share)}" for i in found.interactions)
        lines.append(f"together   {'; '.join(pairs)}")
    if found.gaps:
        settled = [gap for gap in found.gaps if gap.effect.is_settled]
        said = "; ".join(map(gap_text, settled[:GAPS_SHOWN])) or "no parameter can be told from nothing"
        lines.append(f"gap        val_loss - train_loss: {said}")
    return [*lines, *(f"{'warning' if not i else '':10} {text}" for i, text in enumerate(found.warnings))]


def percent_text(share: Interval) -> str:
    """Return ``48% [30, 66]``."""
    value, low, high = (round(100 * x) for x in (share.value, share.low, share.high))
    return f"{value}% [{low}, {high}]"


def gap_text(gap: GapEffect) -> str:
    """Return ``dropout -0.66 [-0.80, -0.51] in rank``, ``batch_norm on -0.12 [-0.25, -0.01]``."""
    e = gap.effect
    if gap.choice is None:
        return f"{gap.parameter} {e.value:+.2f} [{e.low:+.2f}, {e.high:+.2f}] in rank"
    choice = {True: "on", False: "off"}[gap.choice] if isinstance(gap.choice, bool) else gap.choice
    return f"{gap.parameter} {choice} {e.value:+.2g} [{e.low:+.2g}, {e.high:+.2g}]"
