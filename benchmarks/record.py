"""Writes results: a named section of RESULTS.md with its command, date, hardware and versions."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from benchmarks.harness import ROOT
from benchmarks.journal import Journal

RESULTS = ROOT / "benchmarks" / "RESULTS.md"
WHERE_IT_WRITES = ("--results", "--journal")
WRITTEN = ("RESULTS.md", "journals")
"""What benchmarks write below their folder: no difference from a commit."""
PACKAGES = ("torch", "ray", "optuna", "mlflow")
HEADER = """# Benchmark results

Written by the benchmarks themselves; each section holds its command and is replaced when that command
runs again. Medians, with the smallest and largest value in brackets. A ratio is taken within each pair of
neighbouring runs, so that a slow minute of the machine touches both sides alike.
"""


def hardware() -> str:
    """Return CPU model, usable cores and memory."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        match = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
        model = match.group(1).strip() if match else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.system()}"


def versions() -> str:
    """Return the versions of Python, the libraries and Lanewise's commit."""
    parts = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            parts.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            parts.append(f"{name} absent")
    return ", ".join([*parts, f"lanewise {commit()}"])


def commit() -> str:
    """Return the short commit, marked where files of the project differ from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", *(f":!benchmarks/{name}" for name in WRITTEN))
        return git("rev-parse", "--short", "HEAD") + (" with uncommitted changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "outside a git checkout"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def verdict(what: str, value: float, target: float | None, *, at_least: bool, unit: str = "") -> str:
    """Compare a figure with its target and say ``met`` or ``MISSED``, and by how much."""
    text = f"{what}: {value:.2f}{unit}."
    if target is None:
        return text
    met = value >= target if at_least else value <= target
    outcome = "**met**" if met else f"**MISSED** by {abs(value - target):.2f}{unit}"
    return f"{text} Target {'>=' if at_least else '<='} {target:g}{unit}: {outcome}."


def shown_command(module: str, private: Sequence[tuple[str, str]] = ()) -> str:
    """Return the command line that is running, without the paths of this machine or where it writes."""
    words = dict(private)
    shown = []
    arguments = iter(sys.argv[1:])
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if option in WHERE_IT_WRITES:
            if not equals:
                next(arguments, None)
            continue
        shown.append(f"{option}={words.get(value, value)}" if equals else words.get(argument, argument))
    return "python -m " + shlex.join([module, *shown])


def add_results(parser: argparse.ArgumentParser) -> None:
    """Add the option that says where the section is written."""
    parser.add_argument("--results", type=Path, default=RESULTS, help="Markdown file; its section is replaced")


def add_journal(parser: argparse.ArgumentParser) -> None:
    """Add the option that lets a long comparison be stopped and begun again."""
    parser.add_argument("--journal", type=Path, help="keep each pair in this file; pairs that it has are not run again")


def journal(path: Path | None, *, of: str) -> Journal | None:
    """Return the journal at ``path`` of what is measured here with these versions; None where none is asked for.

    Args:
        path: that ``--journal`` gave.
        of: the section's name, which tells apart what commands with the same words were given.
    """
    return None if path is None else Journal(path, f"{of}. {hardware()}. {versions()}")


def write_section(name: str, command: str, body: str, path: Path) -> None:
    """Print a section and write it to ``path``; a section of the same name is replaced in its place."""
    begin, end = f"<!-- section: {name} -->", f"<!-- end: {name} -->"
    today = datetime.date.today().isoformat()
    section = (
        f"{begin}\n## {name}\n\n{today}, `{command}`\n\n{body.strip()}\n\n"
        f"Hardware: {hardware()}. Versions: {versions()}.\n{end}"
    )
    text = path.read_text() if path.exists() else HEADER
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if pattern.search(text):
        # a function, since a command may hold a backslash, which a replacement text would interpret
        text = pattern.sub(lambda _: section, text)
    else:
        text = f"{text.rstrip()}\n\n{section}\n"
    path.write_text(text)
    print(section)
