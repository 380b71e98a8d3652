"""Peak memory of a process that reads a folder of images and trains on it: held, and read from a file."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import ROOT, BenchmarkError, Contender, field, interleaved, spread
from benchmarks.reading import write_jpegs
from benchmarks.record import add_results, shown_command, table, verdict, write_section

RUNS = ("--images 6000 --image-size 96 --pairs 3",)
"""What ``python -m benchmarks --all`` runs."""

TRAIN = """
import json, os, resource, sys, time
sys.path.insert(0, sys.argv[1])
os.environ["XDG_CACHE_HOME"] = sys.argv[2]
import torch
from trainables.config import MlpConfig
from trainables.data import DataSpec, load_splits
from trainables.loop import TrainingRun
from trainables.stream_data import place_examples
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
device, most = torch.device("cpu"), int(sys.argv[5])
import PIL.Image
digits = place_examples(load_splits(DataSpec("digits")), device)
TrainingRun(MlpConfig(max_epochs=1), digits, seed=0, device=device).step()
before, begun = peak(), time.perf_counter()
spec = DataSpec("images", source="images", path=sys.argv[3], image_size=int(sys.argv[4]), memory_mb=most)
splits = load_splits(spec)
read_s = time.perf_counter() - begun
run = TrainingRun(MlpConfig(max_epochs=2, hidden=(32,)), place_examples(splits, device), seed=0, device=device)
losses = [dict(run.step().metrics)["val_loss"] for _ in range(2)]
facts = {"fingerprint": splits.fingerprint, "losses": losses, "streamed": splits.streamed}
epoch_s = (time.perf_counter() - begun - read_s) / 2
print(json.dumps(facts | {"more_mib": peak() - before, "read_s": read_s, "epoch_s": epoch_s}))
"""
"""Reads and trains two epochs in the plain loop; prints how far its peak memory rose above that of a run on digits."""

PLENTY_MB = 1 << 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.larger_than_memory", description=__doc__)
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--memory-mb", type=int, default=64, help="the limit under which images lie in a file")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--target", type=float, default=320.0, help="most MiB above a run on digits, with a file")
    add_results(parser)
    arguments = parser.parse_args()
    if arguments.pairs < 1:
        parser.error(f"--pairs must be >= 1, got {arguments.pairs}")
    with tempfile.TemporaryDirectory(prefix="lanewise-larger-") as folder:
        path, size = write_jpegs(Path(folder), arguments)
        cache = Path(folder) / "cache"
        sides = [
            Contender(name, (sys.executable, "-c", TRAIN, str(ROOT), str(cache), str(path), *numbers))
            for name, numbers in (
                ("held", (str(arguments.image_size), str(PLENTY_MB))),
                ("stored", (str(arguments.image_size), str(arguments.memory_mb))),
            )
        ]
        try:
            measured = interleaved(sides[0], sides[1], arguments.pairs)
        except BenchmarkError as error:
            parser.exit(1, f"{error}\n")
    rows = [
        [side.name, *(spread([field(pair[i].output, name) for pair in measured]) for name in FIELDS)]
        for i, side in enumerate(sides)
    ]
    outputs = [run.output for pair in measured for run in pair]
    same = len({(output["fingerprint"], tuple(output["losses"])) for output in outputs}) == 1
    held_mib = arguments.images * 3 * arguments.image_size**2 * 5 / 2**20
    body = "\n\n".join(
        [
            f"{size}, at {arguments.image_size} pixels: {held_mib:.0f} MiB as pixels and inputs. Fingerprints and the "
            f"losses of two epochs are {'the same' if same else 'DIFFERENT'} on both sides. The first of the stored "
            "runs decodes, the others find what it decoded.",
            table(["", *FIELDS.values()], rows),
            verdict(
                "Above a run on digits, with a file, the most of all runs",
                max(field(pair[1].output, "more_mib") for pair in measured),
                arguments.target,
                at_least=False,
                unit=" MiB",
            ),
        ]
    )
    write_section("larger than memory: images", shown_command("benchmarks.larger_than_memory"), body, arguments.results)
    return 0


FIELDS = {"more_mib": "peak MiB above a run on digits", "read_s": "reading s", "epoch_s": "s an epoch"}


if __name__ == "__main__":
    sys.exit(main())
