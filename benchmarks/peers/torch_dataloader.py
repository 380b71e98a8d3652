"""One trial as a training script has it: a process of its own, batches from a DataLoader. Needs torch alone.

python -m benchmarks.peers.torch_dataloader --data FILE --number 3 --epochs 10
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.peers.plain import BATCH_SIZE
from benchmarks.peers.torch_trial import Trial, load, script_parser, timed_epoch


def main() -> None:
    parser = script_parser(__doc__.split("\n")[0])
    parser.add_argument("--number", type=int, default=0, help="of the trial")
    parser.add_argument("--loader-workers", type=int, default=2, help="of the training batches' DataLoader")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    data = load(arguments.data, arguments.model)
    pinned, workers = device.type == "cuda", arguments.loader_workers
    train = DataLoader(
        TensorDataset(data["x_train"], data["y_train"]),
        batch_size=BATCH_SIZE,
        shuffle=True,
        drop_last=len(data["y_train"]) % BATCH_SIZE == 1,  # batch norm cannot use a batch of one
        num_workers=workers,
        pin_memory=pinned,
        persistent_workers=workers > 0,
    )
    val = DataLoader(TensorDataset(data["x_val"], data["y_val"]), batch_size=1024, pin_memory=pinned)
    trial = Trial(arguments.model, arguments.number, epochs=arguments.epochs, device=device)
    for _ in range(arguments.epochs):
        timed_epoch(trial, on_device(train, device), on_device(val, device))


def on_device(batches: DataLoader[tuple[torch.Tensor, ...]], device: torch.device) -> Iterator[list[torch.Tensor]]:
    """Yield the batches, each copied to the device."""
    for batch in batches:
        yield [tensor.to(device, non_blocking=True) for tensor in batch]


if __name__ == "__main__":
    main()
