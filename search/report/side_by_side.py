"""Two or more studies on the same data side by side: what differs, what each found, and whose answer is better."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from search.report.confirmation import FEWEST_PAIRS, Confirmation, Standing, bounds
from search.report.page.material import Material
from search.report.paired import Interval, holm, interval
from search.report.unpaired import unpaired
from spaces import hash_params
from trainables.data.spec import NO_DATA
from trainables.direction import Direction
from trainables.metrics import is_exact

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Side:
    """One of the studies.

    Attributes:
        name: what it is called here; another one's name may be the same, in another home.
    """

    name: str
    material: Material

    @property
    def confirmation(self) -> Confirmation | None:
        """The finalists on fresh pairs; None where the study was not confirmed."""
        return self.material.answer.confirmation

    @property
    def trial(self) -> int | None:
        """The recommended trial, where the study was confirmed, else the best one."""
        answer = self.material.answer
        if self.confirmation is not None:
            return self.confirmation.recommended
        return None if answer.best is None else answer.best.trial

    @property
    def params(self) -> Mapping[str, Any]:
        """The parameters of that trial."""
        if self.confirmation is not None:
            return self.confirmation.standing.params
        return {} if self.material.answer.best is None else self.material.answer.best.params

    @property
    def device_seconds(self) -> float:
        """The training time of the search's trials, added up."""
        pruning = self.material.answer.pruning
        return 0.0 if pruning is None else sum(outcome.seconds for outcome in pruning.outcomes)

    @property
    def trained(self) -> tuple[str, str]:
        """What tells the recommended configuration from another study's: what is trained, and with what."""
        study = self.material.study
        return study.trainable, hash_params(study.params_of(self.params))


@dataclass(frozen=True)
class Beside:
    """The recommended configurations of two studies on fresh pairs.

    Attributes:
        first, second: the studies.
        trials: the recommended trial of each.
        paired: whether both trained on the same pairs.
        pairs: on how many; of each where they are not the same ones.
        difference: the mean of the first minus that of the second, with p corrected over all of these (Holm).
        better: the better study; None where they cannot be told apart.
        same: whether both recommend the same configuration of the same model.
    """

    first: str
    second: str
    trials: tuple[int, int]
    paired: bool
    pairs: tuple[int, int]
    difference: Interval
    better: str | None = None
    same: bool = False


@dataclass(frozen=True)
class SideBySide:
    """Studies on the same data, with the same objective.

    Attributes:
        sides: in the order they were named.
        besides: each two that are confirmed.
    """

    sides: tuple[Side, ...]
    besides: tuple[Beside, ...]

    @property
    def metric(self) -> str:
        """The objective of all of them."""
        return self.sides[0].material.answer.metric

    @property
    def unconfirmed(self) -> list[Side]:
        """The studies of which nothing is said beside the others."""
        return [side for side in self.sides if side.confirmation is None]

    @property
    def best(self) -> str | None:
        """The study whose recommended configuration is better than that of every other; None if there is none."""
        counts = {side.name: sum(b.better == side.name for b in self.besides) for side in self.sides}
        return next((name for name, count in counts.items() if count == len(self.sides) - 1), None)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "metric": self.metric,
            "mode": self.sides[0].material.answer.mode,
            "fingerprint": self.sides[0].material.fingerprint,
            "best": self.best,
            "studies": [_record(side) for side in self.sides],
            "spaces": {name: dict(zip(self._names, texts, strict=True)) for name, texts in self.spaces.items()},
            "beside": [{**asdict(found), "sentence": beside_text(found, self.metric)} for found in self.besides],
            "unconfirmed": [side.name for side in self.unconfirmed],
        }

    @property
    def frame(self) -> pd.DataFrame:
        """One row a study: what it cost, what it found, and ``params_<name>`` of its recommended (or best) trial."""
        import pandas as pd

        rows = []
        for side in self.sides:
            record = _record(side)
            intervals = {name: record.pop(name) for name in ("confirmed", "baseline_confirmed", "gain")}
            params, states = record.pop("params"), record.pop("states")
            parts = {
                f"{name}_{part}": None if found is None else found[part]
                for name, found in intervals.items()
                for part in ("mean", "low", "high")
            }
            rows.append({**record, **states, **parts, **{f"params_{name}": value for name, value in params.items()}})
        return pd.DataFrame(rows)

    @property
    def spaces(self) -> dict[str, tuple[str, ...]]:
        """What each study has of every parameter that any of them searches: its range, ``= VALUE``, or ``-``."""
        names = dict.fromkeys(name for side in self.sides for name in side.material.study.space.names)
        return {name: tuple(_range_of(side, name) for side in self.sides) for name in names}

    @property
    def _names(self) -> list[str]:
        return [side.name for side in self.sides]


def reasons_against(sides: Sequence[Side]) -> list[str]:
    """Return why studies cannot be compared, all of it, a line each; empty where they can."""
    lines: list[str] = []
    first = sides[0]
    for side in sides[1:]:
        ours, theirs = first.material, side.material
        if ours.fingerprint != theirs.fingerprint:
            same_name = ours.study.data.name == theirs.study.data.name
            why = "under the same name: other rows, another split or other columns" if same_name else "other data"
            lines.append(
                f"{first.name} and {side.name} have not the same examples ({ours.study.data.name} "
                f"{ours.fingerprint[:12]}, {theirs.study.data.name} {theirs.fingerprint[:12]}; {why})"
            )
        a, b = ours.study.objective, theirs.study.objective
        if a.metric != b.metric:
            lines.append(f"{first.name} is ranked by {a.metric}, {side.name} by {b.metric}")
        elif a.mode != b.mode:
            lines.append(f"{a.metric} is better the other way in {side.name}: {a.mode} in {first.name}, {b.mode} there")
    return lines


def side_by_side(sides: Sequence[Side]) -> SideBySide:
    """Return studies side by side that nothing speaks against."""
    confirmed = [side for side in sides if side.confirmation is not None]
    found = [_beside(a, b) for a, b in itertools.combinations(confirmed, 2)]
    corrected = holm([beside.difference.p for beside in found])
    level = min((side.confirmation.level for side in confirmed if side.confirmation is not None), default=0.0)
    direction = Direction(sides[0].material.answer.mode)
    besides = [_judged(beside, p, level, direction) for beside, p in zip(found, corrected, strict=True)]
    return SideBySide(tuple(sides), tuple(besides))


def beside_text(found: Beside, metric: str) -> str:
    """Return what may be said of two studies' recommended configurations, in one sentence."""
    first, second = (
        f"trial {trial} of {name}" for trial, name in zip(found.trials, (found.first, found.second), strict=True)
    )
    if found.same:
        return f"{first} and {second} are the same configuration"
    shared, own = f"the same {found.pairs[0]} pairs", f"{found.pairs[0]} and {found.pairs[1]} pairs of their own"
    figures = f"{metric} {found.difference.mean:+.3g} {bounds(found.difference)}".rstrip()
    over = f"over {shared if found.paired else own}"
    if found.difference.p is None:
        return f"nothing can be said of {first} beside {second}: {figures} {over} has no interval"
    if found.better is None:
        low, high = found.difference.low, found.difference.high
        lucky = low is not None and high is not None and not low <= 0 <= high
        luck = ", which one of several comparisons may reach by luck" if lucky else ""
        return f"{first} and {second} cannot be told apart: {figures} {over}{luck}"
    return f"{first} is {'better' if found.better == found.first else 'worse'} than {second}: {figures} {over}"


def _beside(a: Side, b: Side) -> Beside:
    """Return two confirmed studies beside each other, not judged yet."""
    assert a.confirmation is not None and b.confirmation is not None
    ours, theirs = a.confirmation.standing, b.confirmation.standing
    trials = ours.trial, theirs.trial
    level = min(a.confirmation.level, b.confirmation.level)
    shares = tuple(c.scored_examples / c.train_examples if c.train_examples else 0.0 for c in _both(a, b))
    both = sorted(ours.values.keys() & theirs.values.keys())
    if _same_pairs(a, b) and len(both) >= FEWEST_PAIRS:
        values = [ours.values[pair] - theirs.values[pair] for pair in both]
        exact = is_exact(a.confirmation.metric)
        difference = interval(values, share=max(shares), level=level, exact=exact)
        same = a.trained == b.trained
        return Beside(a.name, b.name, trials, True, (len(both), len(both)), difference, same=same)
    counts = len(ours.values), len(theirs.values)
    difference = _unpaired(ours, theirs, (shares[0], shares[1]), level)
    return Beside(a.name, b.name, trials, False, counts, difference, same=a.trained == b.trained)


def _both(a: Side, b: Side) -> list[Confirmation]:
    return [side.confirmation for side in (a, b) if side.confirmation is not None]


def _unpaired(a: Standing, b: Standing, shares: tuple[float, float], level: float) -> Interval:
    if not a.values or not b.values:
        return Interval(float("nan"))
    return unpaired(list(a.values.values()), list(b.values.values()), shares=shares, level=level)


def _same_pairs(a: Side, b: Side) -> bool:
    """Say whether pairs of one number are the same seed and re-split in both: they follow from data and seed alone.

    A training function splits its own data as it likes, so that two of them need not do it alike.
    """
    ours, theirs = a.material.study, b.material.study
    known = ours.data.source != NO_DATA or ours.trainable == theirs.trainable
    cut = [(c.train_examples, c.scored_examples) for c in _both(a, b)]
    return known and ours.seed == theirs.seed and cut[0] == cut[1]


def _judged(found: Beside, p: float | None, level: float, direction: Direction) -> Beside:
    """Return two studies with the corrected p-value, and the better one where that is told."""
    difference = replace(found.difference, p=p)
    if p is None or p > level or found.same:
        return replace(found, difference=difference)
    return replace(
        found, difference=difference, better=found.first if direction.cost(difference.mean) < 0 else found.second
    )


def _range_of(side: Side, name: str) -> str:
    study = side.material.study
    if name in study.space:
        return study.space[name].range_text()
    return f"= {study.settings[name]}" if name in study.settings else "-"


def _record(side: Side) -> dict[str, Any]:
    """Return one study as plain data."""
    material, found = side.material, side.confirmation
    study, answer = material.study, material.answer
    standing = None if found is None else found.standing
    return {
        "name": side.name,
        "kind": study.kind,
        "trainable": study.trainable,
        "data": study.data.name,
        "seed": study.seed,
        "sampler": study.sampler,
        "scheduler": study.scheduler.name,
        "ending": material.ending,
        "trials": answer.trials,
        "planned": study.budget.trials,
        "max_epochs": study.budget.max_epochs,
        "states": dict(answer.counts),
        "epochs": answer.epochs_trained,
        "device_seconds": side.device_seconds,
        "wall_seconds": material.seconds,
        "baseline": None if answer.baseline is None else answer.baseline.value,
        "best": None if answer.best is None else answer.best.value,
        "best_trial": None if answer.best is None else answer.best.trial,
        "verdict": None if found is None else found.verdict,
        "trial": side.trial,
        "pairs": None if found is None else found.pairs,
        "confirmed": _plain(None if standing is None else standing.validation),
        "baseline_confirmed": _plain(None if found is None else found.baseline.validation),
        "gain": _plain(None if standing is None else standing.to_baseline),
        "params": dict(side.params),
    }


def _plain(found: Interval | None) -> dict[str, Any] | None:
    return None if found is None else asdict(found)
