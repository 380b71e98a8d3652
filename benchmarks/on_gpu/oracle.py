"""The oracle's checks on a device, with pytest where it is there and can read the tests, else one by one.

Run as a script it is what runs them one by one, and prints a line of JSON a check.
"""

from __future__ import annotations

import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import torch

from benchmarks.on_gpu.figures import Section
from benchmarks.on_gpu.processes import ROOT, run_scripts
from benchmarks.peers.torch_trial import say

MARK = "mark." + "gpu"
CANNOT_READ = (2, 3, 4)
"""pytest's exit codes where it could not come to the tests: an import of theirs is missing, an option unknown."""


def oracle(device: str, *, limit_s: float) -> Section:
    """Check lanes against the plain loop on ``device``."""
    started = time.perf_counter()
    section, why = None, "the tests marked gpu need CUDA"
    if device == "cuda":
        section, why = _by_pytest(limit_s)
    if section is None:
        section = _one_by_one(device, why, limit_s=limit_s - (time.perf_counter() - started))
    return Section(
        f"Lanes against the plain loop, {device}",
        section.header,
        section.rows,
        section.notes,
        section.errors,
        section.raw,
        time.perf_counter() - started,
    )


def _by_pytest(limit_s: float) -> tuple[Section | None, str]:
    """Run the tests marked ``gpu``; None, and why, where pytest cannot."""
    if find_spec("pytest") is None:
        return None, "no pytest here"
    files = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "tests").rglob("test_*.py")) if _marked(path)]
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", *files]  # its settings say -q
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return Section("", errors=[f"pytest: cut after {limit_s:.0f} s"]), ""
    return read_pytest(done.returncode, done.stdout + done.stderr, command=f"pytest -m gpu {' '.join(files)}")


def read_pytest(code: int, output: str, *, command: str) -> tuple[Section | None, str]:
    """Return what pytest found; None, and why, where it could not come to the tests. A test it skipped is a failure."""
    said = output.strip().splitlines() or ["it said nothing"]
    if code in CANNOT_READ:
        reason = next((line for line in reversed(said) if "Error" in line), said[-1])
        return None, f"pytest could not read the tests: {reason.strip()}"
    passed = code == 0 and " passed" in said[-1] and " skipped" not in said[-1]
    failed = [line for line in said if line.startswith(("FAILED", "ERROR"))]
    errors = [] if passed else failed or [f"pytest, exit code {code}: {said[-1]}"]
    return Section("", notes=[f"`{command}`: {said[-1]}"], errors=errors, raw={"pytest": said[-20:]}), ""


def _marked(path: Path) -> bool:
    return MARK in path.read_text()


def _one_by_one(device: str, why: str, *, limit_s: float) -> Section:
    ended = run_scripts([("benchmarks.on_gpu.oracle", device)], limit_s=limit_s)
    found = [line for lines in ended.lines for line in lines if "check" in line]
    rows = [[line["check"], f"{line['apart']:.1e}", "passed" if line["passed"] else "**FAILED**"] for line in found]
    errors = [line["check"] for line in found if not line["passed"]]
    if ended.error is not None:
        errors.append(ended.error)
    note = f"Run one by one, without pytest: {why}. Random examples of the digits' shape."
    return Section("", ("check", "largest relative difference of a loss", ""), rows, [note], errors, {"checks": found})


def main(device: str) -> None:
    from tests.trainables.lanes.cases import random_data
    from tests.trainables.lanes.device_oracle import CHECKS, LIMIT

    torch.set_num_threads(1)  # as the tests: tensors are small here
    data = random_data(257, 64, 10)
    for name, check in CHECKS.items():
        apart = check(data, torch.device(device))
        say(check=name, apart=apart, passed=apart <= LIMIT)


if __name__ == "__main__":
    main(sys.argv[1])
