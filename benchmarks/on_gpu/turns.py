"""Lanes beside the scripts one would write, for one model: all sides take turns, each run a process of its own."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.on_gpu.figures import Section, spread
from benchmarks.on_gpu.processes import Ended, run_scripts
from benchmarks.on_gpu.workload import Workload

LANES, EAGER = "lanes", "lanes, CUDA graphs off"
LOADER, REUSED = "a process a trial, DataLoader", "reused processes, data on the device"
TARGETS = {LOADER: 100, REUSED: 20}
"""How many times as many trials per hour lanes are to train on a GPU."""
MOST_TURNS = 5


@dataclass(frozen=True)
class Run:
    """One run of a side.

    Attributes:
        trials_per_hour: None where it was no whole run.
        epochs_per_s: of all its trials together, each one's first epoch left out; None where none ended.
        error: see ``Ended``.
        cut: see ``Ended``.
    """

    trials_per_hour: float | None
    epochs_per_s: float | None
    error: str | None
    cut: bool


@dataclass
class Side:
    """Something that trains trials, and its runs so far.

    Attributes:
        name: of it.
        run: limit in seconds -> a run.
        runs: in the order of the turns.
    """

    name: str
    run: Callable[[float], Run]
    runs: list[Run] = field(default_factory=list)

    def whole(self, name: str) -> list[float]:
        """Return a figure of every run that has it."""
        return [value for run in self.runs if (value := getattr(run, name)) is not None]


def compare(work: Workload, data: Path, device: str, *, limit_s: float, most_turns: int = MOST_TURNS) -> Section:
    """Let all sides take turns as long as ``limit_s`` bears another turn."""
    sides = sides_of(work, data, device)
    started = time.perf_counter()
    turns = take_turns(sides, limit_s=limit_s, most_turns=most_turns)
    lanes = sides[0]
    rows = [_row(side, lanes, device) for side in sides]
    notes = [
        f"{work.described()}. Trials in lanes, all at once: {work.lanes}. Trials in processes, all at once: "
        f"{work.at_once}; workers of each DataLoader: {work.loader_workers}. Turns: {turns}; median [least - most], "
        "n runs; ratios within a turn.",
        "Trials an hour: lanes from the copy of the data on, the capture of graphs within; a process a trial from its "
        "start on; reused processes begin warm. Epochs a second: all trials together, each one's first epoch left out.",
    ]
    if work.model == "cnn":
        notes.append("CUDA graphs: absent for a CNN, whose step torch differentiates and which allocates as it goes.")
    elif device != "cuda":
        notes.append("CUDA graphs: a CPU has none, so that both rows of lanes run the same.")
    errors = [f"{s.name}: {r.error}" for s in sides for r in s.runs if r.error and not (r.cut and s.whole(_RATE))]
    notes += [f"{s.name}: {r.error}; not counted." for s in sides for r in s.runs if r.cut and s.whole(_RATE)]
    raw = {side.name: [asdict(run) for run in side.runs] for side in sides}
    title = f"{work.model.upper()}: lanes beside processes, {device}"
    return Section(title, _HEADER, rows, notes, errors, raw, time.perf_counter() - started)


_RATE = "trials_per_hour"
_HEADER = (
    "side",
    "trials an hour",
    "epochs/s",
    "lanes, times the trials",
    "lanes, times the epochs",
    "target on a GPU",
)


def sides_of(work: Workload, data: Path, device: str) -> list[Side]:
    """Return what is compared, lanes first."""
    shared = ("--data", str(data), "--model", work.model, "--epochs", str(work.epochs), "--device", device)
    ours = ("benchmarks.on_gpu.lanes", *shared, "--lanes", str(work.lanes))
    sides = [Side(LANES, partial(_lanes, ours))]
    if work.model == "mlp":
        sides.append(Side(EAGER, partial(_lanes, (*ours, "--no-graphs"))))
    loader = ("benchmarks.peers.torch_dataloader", *shared, "--loader-workers", str(work.loader_workers))
    sides.append(Side(LOADER, partial(_a_process_a_trial, loader, work)))
    sides.append(Side(REUSED, partial(_reused, ("benchmarks.peers.torch_reused", *shared), work)))
    return sides


def take_turns(
    sides: Sequence[Side], *, limit_s: float, most_turns: int, clock: Callable[[], float] = time.perf_counter
) -> int:
    """Run every side once a turn, until another turn would not end within ``limit_s``; return the whole turns.

    In the first turn a side has its share of what is left, so that one that hangs leaves time for the others. A side
    whose run failed has no other.
    """
    end = clock() + limit_s
    longest = 0.0
    for turn in range(most_turns):
        begun = clock()
        if turn and begun + longest > end:
            return turn
        able = [side for side in sides if all(run.error is None for run in side.runs)]
        if not able:
            return turn
        for i, side in enumerate(able):
            left = max(0.0, end - clock())
            side.runs.append(side.run(left if turn else left / (len(able) - i)))
        longest = max(longest, clock() - begun)
    return most_turns


def _lanes(script: Sequence[str], limit_s: float) -> Run:
    ended = run_scripts([script], limit_s=limit_s)
    epochs = ended.values("epoch_s")
    steady = epochs[1:] or epochs
    lanes = max(ended.values("lanes"), default=0)
    return _run(ended, _per_hour(ended), lanes / statistics.mean(steady) if steady else None)


def _a_process_a_trial(script: Sequence[str], work: Workload, limit_s: float) -> Run:
    scripts = [(*script, "--number", str(number)) for number in range(work.at_once)]
    ended = run_scripts(scripts, limit_s=limit_s, at_once=work.at_once)
    return _run(ended, work.at_once / ended.seconds * 3600, _steady(ended))


def _reused(script: Sequence[str], work: Workload, limit_s: float) -> Run:
    scripts = [(*script, "--numbers", str(number)) for number in range(work.at_once)]
    ended = run_scripts(scripts, limit_s=limit_s, at_once=work.at_once, together=True)
    return _run(ended, _per_hour(ended), _steady(ended))


def _run(ended: Ended, per_hour: float | None, epochs_per_s: float | None) -> Run:
    return Run(per_hour if ended.error is None else None, epochs_per_s, ended.error, ended.cut)


def _per_hour(ended: Ended) -> float | None:
    """Return trials an hour, of processes that began together and told how long their trials took."""
    seconds = ended.values("seconds")
    return sum(ended.values("trials")) / max(seconds) * 3600 if seconds else None


def _steady(ended: Ended) -> float | None:
    """Return epochs a second of all processes together, the first epoch of each left out."""
    times = [[float(line["epoch_s"]) for line in lines if "epoch_s" in line] for lines in ended.lines]
    if not times or not all(times):
        return None
    return math.fsum(1 / statistics.mean(one[1:] or one) for one in times)


def _row(side: Side, lanes: Side, device: str) -> list[str]:
    measured = [spread(side.whole(name)) for name in (_RATE, "epochs_per_s")]
    if side is lanes:
        return [side.name, *measured, "", "", ""]
    ratios = {name: _ratios(lanes, side, name) for name in (_RATE, "epochs_per_s")}
    return [side.name, *measured, *map(spread, ratios.values()), _verdict(side.name, ratios[_RATE], device)]


def _ratios(lanes: Side, side: Side, name: str) -> list[float]:
    """Return how many times as much lanes reached, turn by turn."""
    pairs = [(getattr(a, name), getattr(b, name)) for a, b in zip(lanes.runs, side.runs, strict=False)]
    return [ours / theirs for ours, theirs in pairs if ours and theirs]


def _verdict(name: str, ratios: Sequence[float], device: str) -> str:
    """Say what the target against a side is, and on a GPU whether the median meets it."""
    target = TARGETS.get(name)
    if target is None:
        return ""
    if device != "cuda" or not ratios:
        return f">= {target}: unmeasured"
    return f">= {target}: **{'met' if statistics.median(ratios) >= target else 'MISSED'}**"
