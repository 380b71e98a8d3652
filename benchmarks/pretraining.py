"""How long a transfer takes to learn its `source` weights: this tree beside another one, whole processes.

``--against`` names a checkout of the project, of another commit. Both sides learn the narrow ResNet from the same
images, in a home and a cache of their own, and search one trial of one epoch.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import HOME, ROOT, BenchmarkError, Contender, cost_rows, disturbance, interleaved, ratios
from benchmarks.record import add_results, shown_command, table, verdict, write_section
from benchmarks.transfer_search import write_images

IN_A_TREE = 'cd "$1" && export XDG_CACHE_HOME="$2" && shift 2 && exec "$@"'
"""A shell's script: the tree and the cache come first, then the command."""


def main() -> int:
    """Measure the pairs and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.pretraining")
    parser.add_argument("--against", type=Path, default=ROOT, metavar="TREE", help="a checkout of another commit")
    parser.add_argument("--images", type=int, default=8000)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=2, help="that the weights are learned for")
    parser.add_argument("--pairs", type=int, default=5)
    add_results(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lanewise-images-") as folder:
        write_images(Path(folder), train=arguments.images, val=100, size=arguments.image_size)
        tree = str(arguments.against.absolute())
        sides = [_contender(name, where, folder, arguments) for name, where in (("now", str(ROOT)), ("before", tree))]
        try:
            measured = interleaved(sides[0], sides[1], arguments.pairs)
        except BenchmarkError as error:
            parser.exit(1, f"{error}\n")
    by_pair = ratios(measured, lambda run: run.wall_s)
    body = "\n\n".join(
        [
            f"narrow_resnet, {arguments.epochs} epochs of {arguments.images} images of {arguments.image_size} pixels, "
            "then one trial of one epoch; whole processes, from the command to its end.",
            table(["", "wall s", "CPU s"], cost_rows(sides, measured)),
            verdict(f"before / now, median of {arguments.pairs} pairs", statistics.median(by_pair), None, at_least=True)
            + f" Spread of the pairs: {min(by_pair):.2f} - {max(by_pair):.2f}.",
            *disturbance(measured),
            f"Measured command, in each tree: `{sides[0].shown()}`",
        ]
    )
    section = f"pretraining: {arguments.images} images of {arguments.image_size}"
    write_section(section, shown_command("benchmarks.pretraining", ((tree, "TREE"),)), body, arguments.results)
    return 0


def _contender(name: str, tree: str, folder: str, arguments: argparse.Namespace) -> Contender:
    search = [
        sys.executable,
        "-m",
        "search.run",
        "--no-confirm",
        "transfer",
        "--source-data",
        f"images:{folder}",
        "--home",
        HOME,
    ]
    search += ["--set", f"source_epochs={arguments.epochs}", "--trials", "1", "--max-epochs", "1"]
    search += ["--scheduler", "none", "--tracking", "offline", "--json"]
    private = ((f"images:{folder}", "images:IMAGES"), (tree, "TREE"))
    return Contender(name, ("sh", "-c", IN_A_TREE, "sh", tree, HOME, *search), private)


if __name__ == "__main__":
    sys.exit(main())
