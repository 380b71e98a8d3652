"""Lists the benchmarks; runs all of them with ``--all``."""

from __future__ import annotations

import argparse
import ast
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Benchmark:
    """A module of this folder that can be run.

    Attributes:
        name: of the module.
        summary: the first line of its docstring.
        runs: the argument lines that ``--all`` runs: its ``RUNS``, or one without arguments.
    """

    name: str
    summary: str
    runs: tuple[str, ...]


def discover(folder: Path = FOLDER) -> list[Benchmark]:
    """Return the modules that have an ``if __name__`` part, read without importing them."""
    found = []
    for path in sorted(folder.glob("*.py")):
        text = path.read_text()
        if path.stem == "__main__" or '\nif __name__ == "__main__":' not in text:
            continue
        tree = ast.parse(text)
        summary = (ast.get_docstring(tree) or "").partition("\n")[0]
        found.append(Benchmark(path.stem, summary, _runs(tree)))
    return found


def _runs(tree: ast.Module) -> tuple[str, ...]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(t) for t in node.targets] == ["RUNS"]:
            return tuple(ast.literal_eval(node.value))
    return ("",)


def run_all(benchmarks: list[Benchmark], data_dir: str | None) -> int:
    """Run every benchmark, one after another; return 1 if any failed."""
    failed = []
    for benchmark in benchmarks:
        for line in benchmark.runs:
            words = shlex.split(line)
            shown = shlex.join(["python", "-m", f"benchmarks.{benchmark.name}", *words])
            if "--dataset" in words and not data_dir:
                print(f"skipped, needs --data-dir: {shown}", flush=True)
                continue
            if "--dataset" in words:
                words += ["--data-dir", str(data_dir)]
            print(f"\n{shown}", flush=True)
            command = [sys.executable, "-m", f"benchmarks.{benchmark.name}", *words]
            if subprocess.run(command, cwd=FOLDER.parent).returncode:
                failed.append(shown)
    for shown in failed:
        print(f"failed: {shown}", flush=True)
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--all", action="store_true", help="run every benchmark (hours)")
    parser.add_argument("--data-dir", help="folder with torchvision's MNIST, for the runs that need it")
    arguments = parser.parse_args()
    if arguments.data_dir:
        arguments.data_dir = str(Path(arguments.data_dir).absolute())
    benchmarks = discover()
    if arguments.all:
        return run_all(benchmarks, arguments.data_dir)
    width = max(len(b.name) for b in benchmarks)
    for benchmark in benchmarks:
        print(f"{benchmark.name:{width}}  {benchmark.summary}")
    print("\npython -m benchmarks.NAME --help for one, python -m benchmarks --all for all of them")
    return 0


if __name__ == "__main__":
    sys.exit(main())
