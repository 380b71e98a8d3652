"""What each part of a configuration is worth: set back to the baseline, one at a time, and put on it alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from search.report.confirmation import Standing
from search.report.paired import holm, interval
from search.report.worth import Ablation, Worth
from spaces import Space, differing, hash_params, with_one_of

if TYPE_CHECKING:
    from search.declaration.study import Study
    from search.ledger import FitRow


@dataclass(frozen=True)
class Variant:
    """The two configurations that tell what a parameter is worth."""

    parameter: str
    set_back: Mapping[str, Any]
    alone: Mapping[str, Any]


def variants(space: Space, params: Mapping[str, Any]) -> list[Variant]:
    """Return, for each parameter in which a configuration differs from the baseline, the two that tell its worth."""
    baseline = space.baseline
    return [
        Variant(name, with_one_of(space, params, baseline, name), with_one_of(space, baseline, params, name))
        for name in differing(space, params, baseline)
    ]


def ablation(
    study: Study, standing: Standing, baseline: Standing, fits: Sequence[FitRow], *, level: float
) -> Ablation | None:
    """Return what the parameters of a confirmed configuration are worth; None where nothing was trained for it.

    Args:
        study: says by which objective, in which space.
        standing: the configuration, on its pairs.
        baseline: the baseline, on its own.
        fits: of the confirmation and of the ablation.
        level: 1 - the confidence of the intervals.
    """
    values: dict[str, dict[int, FitRow]] = {}
    for fit in fits:
        values.setdefault(fit.config_hash, {})[fit.split] = fit
    rows = []
    for variant in variants(study.space, standing.params):
        back, alone = (values.get(hash_params(dict(p)), {}) for p in (variant.set_back, variant.alone))
        pairs = [w for w in standing.values if w in back and w in alone]
        if len(pairs) < 2:
            return None
        rows.append(_worth(study, variant, standing, baseline, (back, alone), pairs, level))
    if not rows:
        return None
    corrected = holm([r.in_place.p if r.in_place is not None else None for r in rows])
    told = [replace(r, words=_words(r, p, level)) for r, p in zip(rows, corrected, strict=True)]
    told.sort(key=lambda r: -(r.in_place.mean if r.in_place is not None else 0.0))
    return Ablation(standing.trial, len(standing.values), tuple(told))


def _worth(
    study: Study,
    variant: Variant,
    standing: Standing,
    baseline: Standing,
    runs: tuple[Mapping[int, FitRow], Mapping[int, FitRow]],
    pairs: Sequence[int],
    level: float,
) -> Worth:
    metric, sign = study.objective.metric, -1 if study.objective.mode == "max" else 1
    back, alone = runs
    errors = [fits[w].message for fits in runs for w in pairs if metric not in fits[w].metrics]
    share = max(back[w].share for w in pairs)
    lost = [sign * (back[w].metrics[metric] - standing.values[w]) for w in pairs if metric in back[w].metrics]
    gained = [
        sign * (baseline.values[w] - alone[w].metrics[metric])
        for w in pairs
        if metric in alone[w].metrics and w in baseline.values
    ]
    fewest = 3 if errors else 2
    name = variant.parameter
    return Worth(
        parameter=name,
        value=standing.params[name],
        baseline=study.space.baseline[name],
        in_place=interval(lost, share=share, level=level) if len(lost) >= fewest else None,
        alone=interval(gained, share=share, level=level) if len(gained) >= fewest else None,
        error=errors[0] if errors else None,
    )


def _words(row: Worth, p: float | None, level: float) -> str:
    if row.in_place is None:
        return "too many runs failed"
    if p is None or p > level:
        return "cannot be told from nothing"
    return "helps" if row.in_place.mean > 0 else "harms"
