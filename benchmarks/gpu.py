"""Lanes on one GPU beside processes, graphs on and off, memory a lane, the oracle's checks; within 8 minutes.

Needs torch, NumPy and the project alone. Each part is a process with a limit of its own; the figures are in files
after each part, so that what was measured survives a cut.

    benchmarks/gpu.sh [--out DIR] [--data FOLDER] [--only mlp,memory]
    benchmarks/gpu.sh --device cpu --small
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.on_gpu import machine
from benchmarks.on_gpu.figures import JSON_FILE, MARKDOWN_FILE, Section, write_figures
from benchmarks.on_gpu.memory_section import memory
from benchmarks.on_gpu.oracle import oracle
from benchmarks.on_gpu.processes import run_scripts
from benchmarks.on_gpu.turns import MOST_TURNS, compare
from benchmarks.on_gpu.workload import FULL, SMALL, mnist_folder, write_examples

RUNS = ()
"""``python -m benchmarks --all`` leaves it out: it needs a GPU."""

LIMIT_S = 460.0
SHARES = {"oracle": 0.2, "memory": 0.1, "mlp": 0.38, "cnn": 0.32}
"""Of the limit, for each part in its order; what one leaves over the next ones have."""
MACHINE_LIMIT_S = 60.0
Part = Callable[[float], Section]


def main() -> int:
    arguments = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what runs is ended too
    started = time.perf_counter()
    found = run_scripts([("benchmarks.on_gpu.machine", arguments.device)], limit_s=MACHINE_LIMIT_S)
    if found.error is not None:
        print(f"what this machine is could not be found out: {found.error}", file=sys.stderr)
        return 1
    hardware = found.lines[0][0]
    if arguments.device == "cuda" and not hardware["cuda_available"]:
        print("torch finds no CUDA device here: nothing was measured; --device cpu tries it out", file=sys.stderr)
        return 2
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lanewise-gpu-data-") as folder:
        sections = run_parts(
            parts(arguments, Path(folder)),
            limit_s=arguments.limit_s - (time.perf_counter() - started),
            write=partial(write_figures, arguments.out, head=head(arguments, hardware), machine=hardware),
        )
    print(f"\nFigures: {arguments.out / MARKDOWN_FILE} and {JSON_FILE} beside it.", flush=True)
    return 1 if any(section.errors for section in sections.values()) else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/gpu.sh", description=__doc__.split("\n")[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu tries the script out")
    parser.add_argument("--out", type=Path, help="folder of the figures; by default $OUT, else build/gpu")
    parser.add_argument("--data", type=Path, help="folder with MNIST's files; by default random numbers of its shape")
    parser.add_argument("--small", action="store_true", help="sizes whose figures mean nothing, one turn")
    parser.add_argument("--only", default=",".join(SHARES), help=f"of {', '.join(SHARES)}; commas between them")
    parser.add_argument("--limit-s", type=float, default=LIMIT_S, help="seconds for all of it (%(default)g)")
    arguments = parser.parse_args()
    arguments.out = arguments.out or Path(os.environ.get("OUT") or "build/gpu")
    arguments.only = arguments.only.split(",")
    mistakes = [
        f"--only {name}: no such part; there are {', '.join(SHARES)}" for name in arguments.only if name not in SHARES
    ]
    if arguments.limit_s <= 0:
        mistakes.append(f"--limit-s must be > 0, got {arguments.limit_s:g}")
    if arguments.data is not None:
        try:
            arguments.data = mnist_folder(arguments.data)
        except FileNotFoundError as error:
            mistakes.append(f"--data: {error}")
    if mistakes:
        parser.error("; ".join(mistakes))
    return arguments


def head(arguments: argparse.Namespace, hardware: Mapping[str, Any]) -> list[str]:
    """Return what stands above all sections."""
    examples = "MNIST's own examples" if arguments.data else "Random numbers of MNIST's shape, which cost the same"
    lines = [machine.sentence(dict(hardware)) + ".", f"{examples}."]
    if arguments.device == "cpu":
        lines.append("**Tried out on a CPU**: of a GPU nothing is measured here.")
    if arguments.small:
        lines.append("**Small sizes**: the figures mean nothing.")
    return lines


def parts(arguments: argparse.Namespace, folder: Path) -> dict[str, Part]:
    """Return what is measured, by name, in its order."""
    works, device = (SMALL if arguments.small else FULL), arguments.device
    for name, work in works.items():
        write_examples(folder / name, work, arguments.data)
    most_turns = 1 if arguments.small else MOST_TURNS
    found: dict[str, Part] = {
        "oracle": lambda limit_s: oracle(device, limit_s=limit_s),
        "memory": lambda limit_s: memory(works, folder, device, limit_s=limit_s),
    }
    for name, work in works.items():
        found[name] = partial(_compared, work=work, data=folder / name, device=device, most_turns=most_turns)
    return {name: part for name, part in found.items() if name in arguments.only}


def _compared(limit_s: float, **given: Any) -> Section:
    return compare(limit_s=limit_s, **given)


def run_parts(parts: Mapping[str, Part], *, limit_s: float, write: Callable[..., None]) -> dict[str, Section]:
    """Run every part, the next one too where one fails, and write all figures after each.

    Args:
        parts: by name, limit in seconds -> what was measured.
        limit_s: seconds for all of them.
        write: called with the ``sections`` that there are so far.
    """
    end = time.perf_counter() + limit_s
    sections: dict[str, Section] = {}
    open_shares = sum(SHARES[name] for name in parts)
    for name, part in parts.items():
        left = max(0.0, end - time.perf_counter())
        share = left * SHARES[name] / open_shares
        open_shares -= SHARES[name]
        try:
            sections[name] = part(share)
        except Exception as error:  # a part that fails is no reason to lose the others
            sections[name] = Section(name, errors=[f"{type(error).__name__}: {error}"])
        write(sections=sections)
        print(f"\n{sections[name].markdown()}", flush=True)
    return sections


if __name__ == "__main__":
    sys.exit(main())
