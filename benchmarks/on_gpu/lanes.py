"""Our side: trials in lanes, all at once. Prints a line of JSON an epoch, so that a cut loses no epoch.

python -m benchmarks.on_gpu.lanes --data FILE --model mlp --lanes 64 --epochs 5 [--no-graphs]
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import torch

from benchmarks.on_gpu.workload import device_data, lane_config
from benchmarks.peers.torch_trial import say, script_parser
from trainables.lanes import LaneWorker
from trainables.lanes.stack import Stack


def main() -> None:
    parser = script_parser(__doc__.split("\n")[0])
    parser.add_argument("--lanes", type=int, default=64)
    parser.add_argument("--no-graphs", dest="graphs", action="store_false", help="launch every kernel by itself")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    begin_device(device)
    started = time.perf_counter()
    worker = filled_worker(
        arguments.data, arguments.model, device, lanes=arguments.lanes, epochs=arguments.epochs, graphs=arguments.graphs
    )
    for _ in range(arguments.epochs):
        before = time.perf_counter()
        advance(worker, device)
        say(epoch_s=time.perf_counter() - before, lanes=arguments.lanes)
    say(trials=arguments.lanes, seconds=time.perf_counter() - started)
    worker.close()


def begin_device(device: torch.device) -> None:
    """Set the device up, which every process does once, before any clock starts."""
    torch.ones(8, 8, device=device).mm(torch.ones(8, 8, device=device))
    settle(device)


def filled_worker(
    data: Path, model: str, device: torch.device, *, lanes: int, epochs: int, graphs: bool = True
) -> LaneWorker:
    """Return a worker with the data on the device and a trial in every lane."""
    examples = device_data(data, model, device)
    make_stack = partial(Stack, graphs=graphs)
    worker = LaneWorker(examples, device=device, lanes=lanes, mode="stacked", make_stack=make_stack)
    for number in range(lanes):
        worker.seat(number, lane_config(model, number, epochs=epochs), seed=number)
    return worker


def advance(worker: LaneWorker, device: torch.device) -> None:
    """Train an epoch of all lanes, wait for the device, and raise what a trial raised."""
    for event in worker.advance().values():
        if event.error is not None:
            raise event.error
    settle(device)


def settle(device: torch.device) -> None:
    """Wait for what was launched, so that a clock that is read next holds it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
