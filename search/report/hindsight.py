"""What is said of a search in hindsight: whether pruning was right, and whether more trials would help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from search.report.pruning import LEAST_TRIALS, RungCorrelation

if TYPE_CHECKING:
    from search.declaration.study import Study
    from search.report.answer import Answer
    from search.report.audit import Audit
    from search.report.expected_best import ExpectedBest


def hindsight_lines(found: Answer, study: Study) -> list[str]:
    """Return what is said below the table, each a sentence with its label."""
    lines = []
    if found.pruning is not None:
        audited = 0 if found.pruning.audit is None else found.pruning.audit.trained
        lines += rung_lines(found.pruning.rungs, found.counts.get("pruned", 0) - audited)
        if found.pruning.audit is not None:
            lines.append(f"audit      {audit_text(found.pruning.audit, found.metric)}")
    if found.expected is not None:
        lines.append(f"more       {expected_text(found.expected, study)}")
    return lines


def rung_lines(rungs: Sequence[RungCorrelation], unknown: int) -> list[str]:
    """Return how the ranks at the rungs agree with those at the end, in a line; none where there is no rung.

    Args:
        rungs: of the study.
        unknown: the pruned trials whose end is not known.
    """
    if not rungs:
        return []
    known = [rung for rung in rungs if rung.correlation is not None]
    if not known:
        most = max(rung.trials for rung in rungs)
        return [f"rungs      rank correlation with the end: it takes {LEAST_TRIALS} trials that got there, not {most}"]
    each = ", ".join(f"epoch {r.epoch} {r.correlation:.2f} [{r.low:.2f}, {r.high:.2f}] (n={r.trials})" for r in known)
    missing = f"; without {unknown} that were pruned, which makes it look lower" if unknown else ""
    return [f"rungs      rank correlation with the end: {each}{missing}"]


def audit_text(found: Audit, metric: str) -> str:
    """Return what pruning cost, in a sentence."""
    if not found.drawn:
        return "no pruned trial was drawn: there are few of them for so small a share (--audit-fraction)"
    cost = f"{found.epochs} epochs, {seconds_text(found.seconds)} device-seconds"
    text = f"{found.trained} of {found.drawn} pruned trials that were drawn trained on ({cost})"
    if found.failed:
        text += f", {found.failed} failed"
    if found.drawn > found.trained + found.failed:
        text += ", the rest does so on resume"
    if found.share_low is None or found.share_high is None:
        return text
    share = f"95%: {found.share_low:.0%} to {found.share_high:.0%} of all pruned would have"
    if found.regret is None or found.low is None or found.high is None:
        return f"{text}; none came to a better {metric} than the best ({share})"
    return (
        f"{text}; {found.better} came to a better {metric} than the best ({share}), and the regret of pruning one is "
        f"{found.regret:.2g} [{found.low:.2g}, {found.high:.2g}]"
    )


def expected_text(found: ExpectedBest, study: Study) -> str:
    """Return whether more trials would help, in a sentence with what it assumes."""
    first, *further = (
        f"after {o.times}x the trials {study.objective.metric} {o.best:.4g} is expected, "
        f"better by {o.gain:.2g} [{o.low:.2g}, {o.high:.2g}]"
        for o in found.outlook
    )
    before, last = found.doublings
    draws = "" if found.exchangeable else f", and independent trials, which those of {study.sampler} are not"
    return (
        f"{'; '.join([first, *further])}; this assumes that doublings go on as the last two, which brought "
        f"{before:.2g} and {last:.2g}{draws}"
    )


def seconds_text(seconds: float) -> str:
    """Return ``0.83``, ``12.5`` or ``1,240``."""
    return f"{seconds:,.0f}" if seconds >= 100 else f"{seconds:.3g}"
