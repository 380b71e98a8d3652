"""What paused trials take: memory within `--paused-mb`, the rest on disk, and the time to pause and to come back."""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.process import progress
from benchmarks.record import add_results, shown_command, table, write_section
from benchmarks.transfer_search import write_images
from search.brain.order import TrialOrder
from search.brain.sampler import OptunaSampler
from search.declaration.options import Options
from search.declaration.study import Study
from search.drive.examples import load_data
from search.drive.preflight import resolve
from search.executors.lane_host import LaneHost, Orders
from trainables.checkpoint_store import CheckpointStore

ENDED_FIRST = 32
"""Trials that train and end before any is paused: by then the process has the memory that its lanes need."""


@dataclass(frozen=True)
class Figures:
    """What some paused trials took.

    Attributes:
        state_mb: of one trial, its state and the model of its best epoch, as they lie on disk.
        in_memory: how many of the trials' states never had to leave it.
        most_mb: peak of resident memory while trials train, pause and come back, less that while as many train and end.
        grown_mb: resident memory with all of them paused, less that of the lanes with none.
        spilled_mb: what went to the checkpoint store.
        pause_ms: a trial, by groups of as many as there are lanes.
        from_memory_ms, from_disk_ms: what it takes to come back; None where no trial did from there.
    """

    state_mb: float
    in_memory: int
    most_mb: float
    grown_mb: float
    spilled_mb: float
    pause_ms: Sequence[float]
    from_memory_ms: float | None
    from_disk_ms: float | None


def paused(study: Study, trials: int, folder: Path) -> Figures:
    """Train trials for an epoch in lanes, pause each, and have some come back."""
    host = LaneHost(study, load_data(study), device="cpu", checkpoints=folder)
    lanes, store, sampler = host.describe()[0], CheckpointStore(folder), OptunaSampler(study)
    # a driver's memory, not that of what is paused
    asked = iter([order for _ in range(ENDED_FIRST + trials) if (order := sampler.ask()) is not None])
    alone, before = _without_pauses(host, asked, lanes, store), _resident()
    _reset_peak()
    orders, pause_ms = list[TrialOrder](), list[float]()
    while len(orders) < trials:
        begin = _begun(host, asked, min(lanes, trials - len(orders)))
        began = time.perf_counter()
        host.advance(Orders(pause={order.number: False for order in begin}))
        pause_ms.append(1000 * (time.perf_counter() - began) / len(begin))
        orders += begin
    grown = _resident() - before
    spilled = {order.number for order in orders if store.holds(order.number)}
    on_disk = sum(file.stat().st_size for file in folder.rglob("*.pt"))
    memory, disk = [o for o in orders if o.number not in spilled], [o for o in orders if o.number in spilled]
    one = orders[0].number
    host.save([one])
    state_mb = sum(file.stat().st_size for file in folder.glob(f"trial_{one:05d}/*.pt")) / 1e6
    from_memory, from_disk = (_back_ms(host, chosen[-lanes:]) for chosen in (memory, disk))
    most = _peak() - alone
    host.close()
    return Figures(state_mb, len(memory), most / 1e6, grown / 1e6, on_disk / 1e6, pause_ms, from_memory, from_disk)


def _without_pauses(host: LaneHost, asked: Iterator[TrialOrder], lanes: int, store: CheckpointStore) -> int:
    """Train trials and end them, so that the process has the memory that its lanes need; return the peak in bytes."""
    for ended in range(0, ENDED_FIRST, lanes):
        if ended == ENDED_FIRST // 2:
            _reset_peak()
        begun = _begun(host, asked, lanes)
        if not ended:  # what writes and reads a checkpoint is imported, whether or not any trial pauses
            host.save([begun[0].number])
            store.latest(begun[0].number)
            store.trim(begun[0].number, keep_best=False)
        host.advance(Orders(retire=tuple(order.number for order in begun)))
    return _peak()


def _begun(host: LaneHost, asked: Iterator[TrialOrder], count: int) -> list[TrialOrder]:
    """Return new trials that have trained an epoch."""
    begun = list(itertools.islice(asked, count))
    host.advance(Orders(seat=tuple(begun)))
    return begun


def _back_ms(host: LaneHost, orders: Sequence[TrialOrder]) -> float | None:
    """Return what a trial takes to get its lane back, its next epoch left out."""
    if not orders:
        return None
    seat = tuple(order.continued(epochs=1, best=None) for order in orders)
    began = time.perf_counter()
    advance = host.advance(Orders(seat=seat))
    wall = time.perf_counter() - began
    trained = sum(event.report.seconds for event in advance.events.values() if event.report is not None)
    host.advance(Orders(retire=tuple(order.number for order in orders)))
    return 1000 * max(0.0, wall - trained) / len(orders)


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")  # proc(5)


def _peak() -> int:
    """Return the most resident memory since the last reset, in bytes."""
    found = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(found["VmHWM"].split()[0])


def studies(arguments: argparse.Namespace, images: Path) -> list[tuple[str, Study, int]]:
    """Return what is trained, with the number of trials of each."""
    mb = arguments.paused_mb
    few: dict[str, Any] = {"scheduler": "promote", "max_epochs": 9, "executor": "lanes", "sampler": "random"}
    few |= {"checkpoint_every": 1e9}  # else the store gets copies of what is in memory too
    found = []
    if arguments.mlps:
        options = Options(kind="regularization", trials=arguments.mlps + ENDED_FIRST, lanes="16", paused_mb=mb, **few)
        found.append(("MLP of digits", resolve(options), arguments.mlps))
    if arguments.resnets:
        write_images(images, train=20, val=20, size=32)
        whole = ("freeze_depth.high=1", "backbone=resnet18")
        options = Options(
            kind="transfer",
            data=f"images:{images}",
            image_size=32,
            weights="none",
            set_=whole,
            trials=arguments.resnets + ENDED_FIRST,
            lanes="2",
            paused_mb=mb,
            **few,
        )
        found.append(("ResNet-18, its stem frozen or nothing", resolve(options), arguments.resnets))
    return found


def row(name: str, trials: int, limit: float, found: Figures) -> list[str]:
    """Return a line of the table."""

    def ms(value: float | None) -> str:
        return "-" if value is None else f"{value:.1f}"

    return [
        f"{trials} x {name}",
        f"{found.state_mb:.2f}",
        f"{limit:g}",
        str(found.in_memory),
        f"{found.most_mb:.0f} ({'met' if found.most_mb <= limit else 'MISSED'})",
        f"{found.grown_mb:.0f}",
        f"{found.spilled_mb:.0f}",
        f"{statistics.median(found.pause_ms):.1f} (most {max(found.pause_ms):.1f})",
        ms(found.from_memory_ms),
        ms(found.from_disk_ms),
    ]


def main() -> int:
    """Measure, write the section; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paused_memory", description=__doc__)
    parser.add_argument("--mlps", type=int, default=1000)
    parser.add_argument("--resnets", type=int, default=100)
    parser.add_argument("--paused-mb", type=float, default=1024.0, help="as the option of a search")
    add_results(parser)
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="lanewise-paused-") as folder:
        for name, study, trials in studies(arguments, Path(folder) / "images"):
            found = paused(study, trials, Path(folder) / study.kind)
            rows.append(row(name, trials, arguments.paused_mb, found))
            progress(" | ".join(rows[-1]))
    head = [
        "trials",
        "MB each",
        "--paused-mb",
        "in memory",
        "most MB more",
        "MB more",
        "on disk MB",
        "pause ms a trial",
    ]
    body = "\n\n".join(
        [
            "Each trial trains an epoch in lanes and is paused; then as many as there are lanes come back from memory, "
            "and as many from the store where some went there. Most MB more: the peak of resident memory in all of "
            "that, less the peak while as many trials train and end, copies on their way and memory that was freed and "
            "kept included; to be within --paused-mb. MB more: with all of them paused, less that of the lanes alone.",
            table([*head, "back from memory, ms", "back from disk, ms"], rows),
        ]
    )
    write_section("paused_memory", shown_command("benchmarks.paused_memory"), body, arguments.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
