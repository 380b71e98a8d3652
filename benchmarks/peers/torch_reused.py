"""Trials one after another in a process that is used again, the data on the device. Needs torch alone.

The usual way to make many small trials fast without stacking them: nothing is started, copied or loaded between
trials, and a batch is an index into tensors that lie on the device. It prints ``ready`` when data and libraries
are loaded, and begins when a line comes in, so that several of these begin together.

    echo | python -m benchmarks.peers.torch_reused --data FILE --numbers 0,4,8 --epochs 10
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import torch

from benchmarks.peers.plain import BATCH_SIZE
from benchmarks.peers.torch_trial import Trial, load, say, script_parser, timed_epoch

WARM_UP_BATCHES = 20
VALIDATED_AT_ONCE = 8192


def main() -> None:
    parser = script_parser(__doc__.split("\n")[0])
    parser.add_argument("--numbers", default="0", help="of the trials, with commas between them")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    data = {name: tensor.to(device) for name, tensor in load(arguments.data, arguments.model).items()}
    val = list(zip(data["x_val"].split(VALIDATED_AT_ONCE), data["y_val"].split(VALIDATED_AT_ONCE), strict=True))
    few = BATCH_SIZE * WARM_UP_BATCHES
    for number in (0, 1):  # with and without batch norm
        warm_up = Trial(arguments.model, number, epochs=1, device=device)
        warm_up.epoch(shuffled(data["x_train"][:few], data["y_train"][:few]), val)
    say(ready=True)
    sys.stdin.readline()
    started = time.perf_counter()
    numbers = [int(number) for number in arguments.numbers.split(",")]
    for number in numbers:
        trial = Trial(arguments.model, number, epochs=arguments.epochs, device=device)
        for _ in range(arguments.epochs):
            timed_epoch(trial, shuffled(data["x_train"], data["y_train"]), val)
    say(trials=len(numbers), seconds=time.perf_counter() - started)


def shuffled(x: torch.Tensor, y: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the batches of an epoch, in a fresh order."""
    for rows in torch.randperm(len(y), device=y.device).split(BATCH_SIZE):
        if len(rows) > 1:  # batch norm cannot use a batch of one
            yield x[rows], y[rows]


if __name__ == "__main__":
    main()
