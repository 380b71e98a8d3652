"""What each part of a configuration is worth: set back to the baseline, one at a time, and put on it alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from search.report.confirmation import FEWEST_AFTER_FAILURES, FEWEST_PAIRS, NOT_FINITE, Standing, finite_values
from search.report.paired import holm, interval
from search.report.worth import Ablation, Worth
from spaces import Space, differing, hash_params, with_one_of
from trainables.metrics import is_exact

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
        fits: of the confirmation and of the ablation; a pair counts once every parameter had its runs on it.
        level: 1 - the confidence of the intervals.
    """
    values: dict[str, dict[int, FitRow]] = {}
    for fit in fits:
        values.setdefault(fit.config_hash, {})[fit.split] = fit
    parts = variants(study.space, standing.params)
    runs = [tuple(values.get(hash_params(dict(p)), {}) for p in (v.set_back, v.alone)) for v in parts]
    pairs = [w for w in standing.values if all(w in fits for both in runs for fits in both)]
    if not parts or len(pairs) < FEWEST_PAIRS:
        return None
    rows = [_worth(study, v, standing, baseline, both, pairs, level) for v, both in zip(parts, runs, strict=True)]
    corrected = holm([r.in_place.p if r.in_place is not None else None for r in rows])
    told = [replace(r, words=_words(r, p, level)) for r, p in zip(rows, corrected, strict=True)]
    told.sort(key=lambda r: -(r.in_place.mean if r.in_place is not None else 0.0))
    return Ablation(standing.trial, len(pairs), tuple(told))


def _worth(
    study: Study,
    variant: Variant,
    standing: Standing,
    baseline: Standing,
    runs: Sequence[Mapping[int, FitRow]],
    pairs: Sequence[int],
    level: float,
) -> Worth:
    metric, sign = study.objective.metric, -1 if study.objective.mode == "max" else 1
    back, alone = ({w: fits[w] for w in pairs} for fits in runs)
    set_back, added = finite_values(back, metric), finite_values(alone, metric)
    failed = [fits[w] for fits, kept in ((back, set_back), (alone, added)) for w in pairs if w not in kept]
    lost = [sign * (set_back[w] - standing.values[w]) for w in set_back]
    gained = [sign * (baseline.values[w] - added[w]) for w in added if w in baseline.values]
    judge = partial(interval, share=max(back[w].share for w in pairs), level=level, exact=is_exact(metric))
    fewest = FEWEST_AFTER_FAILURES if failed else FEWEST_PAIRS
    name = variant.parameter
    return Worth(
        parameter=name,
        value=standing.params[name],
        baseline=study.space.baseline[name],
        in_place=judge(lost) if len(lost) >= fewest else None,
        alone=judge(gained) if len(gained) >= fewest else None,
        error=failed[0].message or NOT_FINITE if failed else None,
    )


def _words(row: Worth, p: float | None, level: float) -> str:
    if row.in_place is None:
        return "too many runs failed"
    if p is None or p > level:
        return "cannot be told from nothing"
    return "helps" if row.in_place.mean > 0 else "harms"
