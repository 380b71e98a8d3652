"""What paused trials take: memory within `--paused-mb`, the rest on disk, and the time to pause and to come back."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
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

MIB = 2**20


@dataclass(frozen=True)
class Figures:
    """What some paused trials took.

    Attributes:
        state_mb: of one trial, its state and the model of its best epoch, as they lie on disk.
        in_memory: how many of the trials' states never had to leave it.
        grown_mib: resident memory with all of them paused, less that of the lanes with none.
        spilled_mib: what went to the checkpoint store.
        pause_ms: a trial, by groups of as many as there are lanes.
        from_memory_ms, from_disk_ms: what it takes to come back; None where no trial did from there.
    """

    state_mb: float
    in_memory: int
    grown_mib: float
    spilled_mib: float
    pause_ms: Sequence[float]
    from_memory_ms: float | None
    from_disk_ms: float | None


def paused(study: Study, trials: int, folder: Path) -> Figures:
    """Train trials for an epoch in lanes, pause each, and have some come back."""
    host = LaneHost(study, load_data(study), device="cpu", checkpoints=folder)
    lanes, store, sampler = host.describe()[0], CheckpointStore(folder), OptunaSampler(study)
    warm = _begun(host, sampler, lanes)
    host.advance(Orders(retire=tuple(order.number for order in warm)))
    orders, pause_ms, before = list[TrialOrder](), list[float](), _resident()
    while len(orders) < trials:
        begin = _begun(host, sampler, min(lanes, trials - len(orders)))
        began = time.perf_counter()
        host.advance(Orders(pause={order.number: False for order in begin}))
        pause_ms.append(1000 * (time.perf_counter() - began) / len(begin))
        orders += begin
    grown = (_resident() - before) / MIB
    spilled = {order.number for order in orders if store.holds(order.number)}
    on_disk = sum(file.stat().st_size for file in folder.rglob("*.pt"))
    memory, disk = [o for o in orders if o.number not in spilled], [o for o in orders if o.number in spilled]
    one = orders[0].number
    host.save([one])
    state_mb = sum(file.stat().st_size for file in folder.glob(f"trial_{one:05d}/*.pt")) / 1e6
    from_memory, from_disk = (_back_ms(host, chosen[-lanes:]) for chosen in (memory, disk))
    host.close()
    return Figures(state_mb, len(memory), grown, on_disk / MIB, pause_ms, from_memory, from_disk)


def _begun(host: LaneHost, sampler: OptunaSampler, count: int) -> list[TrialOrder]:
    """Return new trials that have trained an epoch."""
    begun = [order for _ in range(count) if (order := sampler.ask()) is not None]
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


def studies(arguments: argparse.Namespace, images: Path) -> list[tuple[str, Study, int]]:
    """Return what is trained, with the number of trials of each."""
    mb = arguments.paused_mb
    few: dict[str, Any] = {"scheduler": "promote", "max_epochs": 9, "executor": "lanes", "sampler": "random"}
    few |= {"checkpoint_every": 1e9}  # else the store gets copies of what is in memory too
    found = []
    if arguments.mlps:
        options = Options(kind="regularization", trials=arguments.mlps + 16, lanes="16", paused_mb=mb, **few)
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
            trials=arguments.resnets + 2,
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
        f"{found.grown_mib:.0f}",
        f"{found.spilled_mib:.0f}",
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
    head = ["trials", "MB each", "--paused-mb", "in memory", "resident MiB more", "on disk MiB", "pause ms a trial"]
    body = "\n\n".join(
        [
            "Each trial trains an epoch in lanes and is paused; then as many as there are lanes come back from memory, "
            "and as many from the store where some went there. Resident memory: what the process has more than with "
            "its lanes alone; the limit counts states, to which the one that is being paused or written comes.",
            table([*head, "back from memory, ms", "back from disk, ms"], rows),
        ]
    )
    write_section("paused_memory", shown_command("benchmarks.paused_memory"), body, arguments.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
