"""What a lane takes of the device's memory: the peak at 2N lanes less the peak at N, by N. Prints JSON.

python -m benchmarks.on_gpu.memory --data FILE --model mlp --lanes 32
"""

from __future__ import annotations

import gc
import resource
from pathlib import Path

import torch

from benchmarks.on_gpu.lanes import advance, begin_device, filled_worker
from benchmarks.peers.torch_trial import say, script_parser


def main() -> None:
    parser = script_parser(__doc__.split("\n")[0])
    parser.add_argument("--lanes", type=int, default=32, help="N; a power of two, as a GPU's stacks are")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    begin_device(device)
    for lanes in (arguments.lanes, 2 * arguments.lanes):
        say(lanes=lanes, **peaks(arguments.data, arguments.model, device, lanes))


def peaks(data: Path, model: str, device: torch.device, lanes: int) -> dict[str, float]:
    """Train two epochs in so many lanes; return the most MiB that were in use meanwhile, the data among them.

    On a GPU what torch's allocator had given out, and what it had reserved for that, graphs' pools among it; on a
    CPU the process's peak, which never falls.
    """
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    worker = filled_worker(data, model, device, lanes=lanes, epochs=2)
    for _ in range(2):  # the first captures the graphs
        advance(worker, device)
    worker.close()
    if device.type == "cuda":
        given, reserved = torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device)
        return {"peak_mib": given / 2**20, "reserved_mib": reserved / 2**20}
    return {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


if __name__ == "__main__":
    main()
