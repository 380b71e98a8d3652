"""What `search watch` costs the search beside it, with its page open; neither curves nor decisions may differ."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError

from benchmarks.harness import (
    HOME,
    ROOT,
    SEED,
    BenchmarkError,
    Contender,
    add_sides,
    disturbance,
    field,
    interleaved,
    ratios,
    spread,
)
from benchmarks.record import add_results, shown_command, table, verdict, write_section

TARGET = 5.0
"""Per cent that a search may take longer while it is watched."""

ASKED_EVERY_S = 2.0
"""Seconds between two questions of the page."""

NAME = "bench"
SIZE = ("--trials", "--epochs", "--lanes")


@contextmanager
def watched(home: Path) -> Iterator[None]:
    """Run `search watch` for as long as this is entered, and ask it what an open page asks."""
    command = [sys.executable, "-m", "search", "watch", NAME, "--home", str(home)]
    asking = [sys.executable, "-c", f"from benchmarks.watching import ask_as_a_page; ask_as_a_page({ASKED_EVERY_S})"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as watching:
        with subprocess.Popen(asking, cwd=ROOT, stdin=watching.stdout) as page:
            yield
            gone = page.poll() is not None
            page.kill()
        watching.terminate()
    if gone:
        raise BenchmarkError("the page of search watch was not answered to the end: see above")


def ask_as_a_page(every_s: float) -> None:
    """Ask for the page whose address is read from standard input, and then for its news, without an end."""
    url = re.search(r"http://\S+", sys.stdin.readline())
    assert url is not None, "search watch did not say where"
    urllib.request.urlopen(url[0]).read()
    tag = ""
    while True:
        request = urllib.request.Request(f"{url[0]}update", headers={"If-None-Match": tag})
        try:
            with urllib.request.urlopen(request) as answer:
                tag = answer.headers["ETag"]
                answer.read()
        except HTTPError as error:
            assert error.code == 304, error
        time.sleep(every_s)


def search_once(arguments: argparse.Namespace) -> int:
    """Search, watched or not; print the answer with the digest of all curves and decisions."""
    size = ["--trials", str(arguments.trials), "--max-epochs", str(arguments.epochs), "--lanes", str(arguments.lanes)]
    where = ["--home", str(arguments.home), "--name", NAME, "--seed", str(arguments.seed)]
    command = [sys.executable, "-m", "search.run", "regularization", *size, *where, "--json"]
    command += ["--tracking", "offline", "--no-confirm", "--set", f"patience={arguments.epochs}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as search:
        ledger = arguments.home / NAME / "ledger.db"
        while not ledger.exists() and search.poll() is None:
            time.sleep(0.02)
        if arguments.one == "watched":
            with watched(arguments.home):
                output, _ = search.communicate()
        else:
            output, _ = search.communicate()
    if search.returncode == 0:
        print(json.dumps({"search_s": json.loads(output)["search_s"], "digest": digest(arguments.home)}))
    return search.returncode


def digest(home: Path) -> str:
    """Return the digest of every metric of every epoch, and of every decision with its reason."""
    from search.ledger import Ledger
    from search.ledger.paths import Paths

    with Ledger(Paths(home, NAME).ledger_url) as ledger:
        study = ledger.study(NAME).id
        curves = sorted((row.number, row.epoch, sorted(row.metrics.items())) for row in ledger.epochs(study))
        decided = ledger.decisions_frame(study).sort_values(["number", "epoch"])
    decisions = decided[["number", "epoch", "action", "value", "cutoff", "reason"]].to_csv()
    return hashlib.sha256(f"{curves}{decisions}".encode()).hexdigest()


def main() -> int:
    """Measure, write the section; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watching", description=__doc__)
    parser.add_argument("--trials", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--lanes", type=int, default=32)
    add_sides(parser, "alone", "watched")
    add_results(parser)
    arguments = parser.parse_args()
    if arguments.one is not None:
        return search_once(arguments)
    size = [word for option in SIZE for word in (option, str(getattr(arguments, option.strip("-"))))]
    common = (sys.executable, "-m", "benchmarks.watching", *size, "--home", HOME, "--seed", SEED, "--one")
    alone, beside = (Contender(side, (*common, side)) for side in ("alone", "watched"))
    pairs = interleaved(alone, beside, arguments.pairs, seed=arguments.seed)
    slower = [100 * (ratio - 1) for ratio in ratios(pairs, lambda run: field(run.output, "search_s"))]
    same = sum(one.output["digest"] == other.output["digest"] for one, other in pairs)
    rows = [
        [
            side,
            spread([field(pair[i].output, "search_s") for pair in pairs]),
            spread([pair[i].cost.cpu_s for pair in pairs]),
        ]
        for i, side in enumerate(("alone", "watched, its page open"))
    ]
    body = "\n\n".join(
        [
            f"`regularization` on digits, {arguments.trials} trials of at most {arguments.epochs} epochs. The page "
            f"asks every {ASKED_EVERY_S:g} s; what a browser draws is not counted, `search watch` from its start is.",
            table(["search", "search s", "CPU s, `watch` included"], rows),
            f"Same curves and decisions: {same} of {len(pairs)} pairs.",
            verdict("Longer while watched, median", statistics.median(slower), TARGET, at_least=False, unit="%"),
            f"Each pair: {', '.join(f'{value:+.1f}%' for value in slower)}.",
            *disturbance(pairs),
        ]
    )
    write_section("watching", shown_command("benchmarks.watching"), body, arguments.results)
    return 0 if same == len(pairs) else 1


if __name__ == "__main__":
    sys.exit(main())
