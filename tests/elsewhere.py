"""The fast tests on machines unlike this one: ``make test-elsewhere``, which is not part of CI (it takes hours).

``make test-elsewhere WHERE="one-core no-bf16+umask"`` goes to some places alone; those joined by ``+`` hold at once, in
one run. The tests run in a clone of what is committed, with this interpreter. Linux; most places need root, to take
something away from the tests.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOBODY = 65534
PYTEST = ("-m", "pytest", "-n", "auto", "--maxprocesses", "4", "--dist", "worksteal", "-p", "no:cacheprovider")
OTHER_FILE_SYSTEM = Path("/dev/shm")
LOOPBACK_ALONE = 'ip link set lo up && echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6 && exec "$@"'
PORTS_UP_S = 90.0


@dataclass(frozen=True)
class Place:
    """A machine unlike this one.

    Attributes:
        what: differs there.
        environment: variables that differ.
        prefix: goes before the command.
        beside: what runs on the machine meanwhile.
        copies: how many runs go on at once, each in a clone of its own.
        as_root: whether root runs the tests where root runs this.
    """

    what: str
    environment: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    beside: Callable[[], AbstractContextManager[None]] | None = None
    copies: int = 1
    as_root: bool = True


@contextmanager
def server(*command: str, port: int) -> Iterator[None]:
    """Run a server until it answers at ``port``, and while inside; its children end with it."""
    process = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        deadline = time.monotonic() + PORTS_UP_S
        while process.poll() is None and time.monotonic() < deadline and not answers(port):
            time.sleep(0.5)
        if not answers(port):
            raise RuntimeError(f"{' '.join(command)} did not come up at port {port}")
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def answers(port: int) -> bool:
    """Say whether somebody listens at a port of loopback."""
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def another_ray() -> AbstractContextManager[None]:
    """Run a Ray head on the ports that Ray takes where nobody says otherwise."""
    options = ("--head", "--block", "--node-ip-address=127.0.0.1", "--disable-usage-stats", "--num-cpus=1")
    return server("-m", "ray.scripts.scripts", "start", *options, port=6379)


def another_mlflow() -> AbstractContextManager[None]:
    """Run an MLflow server on the port that it takes where nobody says otherwise."""
    folder = tempfile.mkdtemp(prefix="mlflow-")
    store = ("--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", folder)
    return server("-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1", *store, port=5000)


@contextmanager
def busy_neighbours() -> Iterator[None]:
    """Keep every core busy, so that about half of each is left."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


PLACES = {
    "here": Place("nothing: this machine as it is"),
    "no-bf16": Place(
        "a CPU with neither bfloat16 nor AVX-512",
        {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    ),
    "one-core": Place("one core", prefix=("taskset", "--cpu-list", "0")),
    "more-threads": Place("more threads than cores", {"OMP_NUM_THREADS": "8"}),
    "time-zone": Place("the other side of the earth", {"TZ": "Pacific/Auckland"}),
    "locale": Place("the locale C", {"LC_ALL": "C", "LANG": "C"}),
    "umask": Place("umask 077", prefix=("sh", "-c", 'umask 077 && exec "$@"', "sh")),
    "not-root": Place("a user who is not root", as_root=False),
    "home": Place("HOME on another file system"),
    "no-network": Place("loopback alone, without IPv6", prefix=("unshare", "--net", "sh", "-c", LOOPBACK_ALONE, "sh")),
    "variables": Place(
        "somebody's own variables of MLflow, Ray and the terminal",
        {
            "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
            "MLFLOW_EXPERIMENT_NAME": "somebody's",
            "RAY_ADDRESS": "127.0.0.1:6379",
            "COLUMNS": "40",
            "FORCE_COLOR": "1",
        },
    ),
    "another-ray": Place("a Ray head on its default ports", beside=another_ray),
    "another-mlflow": Place("an MLflow server on its default port", beside=another_mlflow),
    "half-speed": Place("a busy loop on every core", beside=busy_neighbours),
    "two-at-once": Place("the same tests in another clone at once", copies=2),
}


def clone(folder: Path, *, owner: int | None) -> Path:
    """Return a clone of what is committed."""
    copy = folder / "lanewise"
    subprocess.run(["git", "-c", "advice.detachedHead=false", "clone", "--quiet", str(ROOT), str(copy)], check=True)
    if owner is not None:
        subprocess.run(["chown", "-R", f"{owner}:{owner}", str(folder)], check=True)
    return copy


def environment_of(places: Sequence[Place], folder: Path, copy: Path, *, home: Path) -> dict[str, str]:
    """Return the variables of a run: its own HOME and temporary folder, and its clone before anything installed."""
    made = {"PYTHONPATH": str(copy), "HOME": str(home), "TMPDIR": str(folder / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"}
    for place in places:
        made |= place.environment
    return {**os.environ, **made}


def may_run(user: int) -> bool:
    """Say whether a user may run this interpreter; an interpreter below /root is root's alone."""
    command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", sys.executable, "-c", "import torch"]
    return subprocess.run(command, cwd="/", capture_output=True, check=False).returncode == 0


def run(names: Sequence[str], logs: Path) -> bool:
    """Run the fast tests where all of ``names`` hold; print a line of the table and say whether they passed."""
    places = [PLACES[name] for name in names]
    owner = None if all(place.as_root for place in places) or os.geteuid() != 0 else NOBODY
    if owner is not None and not may_run(owner):
        print(f"nobody else may run {sys.executable}, or see {ROOT}: open the way to both", file=sys.stderr)
        return False
    label, began, ends = "+".join(names), time.monotonic(), []
    with ExitStack() as stack:
        for place in places:
            if place.beside is not None:
                stack.enter_context(place.beside())
        runs = []
        for number in range(max(place.copies for place in places)):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lw-", ignore_cleanup_errors=True)))
            home = folder / "home"
            if "home" in names:
                home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lw-", dir=OTHER_FILE_SYSTEM)))
                assert home.stat().st_dev != folder.stat().st_dev
            for made in (home, folder / "tmp"):
                made.mkdir(exist_ok=True)
            folder.chmod(0o755)
            copy = clone(folder, owner=owner)
            if owner is not None and "home" in names:
                shutil.chown(home, owner, owner)
            prefix = [word for place in places for word in place.prefix]
            if owner is not None:
                prefix += ["setpriv", f"--reuid={owner}", f"--regid={owner}", "--clear-groups"]
            log = (logs / f"{label}-{number}.log").open("w")
            command = [*prefix, sys.executable, *PYTEST]
            environment = environment_of(places, folder, copy, home=home)
            runs.append((subprocess.Popen(command, cwd=copy, env=environment, stdout=log, stderr=log), log))
        for process, log in runs:
            process.wait()
            log.close()
            ends.append((process.returncode, last_line(Path(log.name))))
    what = "; ".join(place.what for place in places)
    for code, said in ends:
        print(f"| {label} | {what} | {'passed' if code == 0 else f'FAILED ({code})'} | {said} |", flush=True)
    print(f"<!-- {label}: {time.monotonic() - began:.0f} s -->", flush=True)
    return all(code == 0 for code, _ in ends)


def last_line(log: Path) -> str:
    """Return what pytest said last: so many passed, in so long."""
    text = re.sub(r"\x1b\[[\d;]*m", "", log.read_text())
    found = re.findall(r"^=* ?(\d+ .* in [\d.]+s.*?)=*$", text, flags=re.MULTILINE)
    return found[-1].strip() if found else "no result"


def main(asked: Sequence[str]) -> int:
    """Run at every place, or at those asked for, and print a table."""
    runs = [name.split("+") for name in asked or PLACES]
    unknown = [name for names in runs for name in names if name not in PLACES]
    if unknown:
        print(f"no such place: {', '.join(unknown)}; known: {', '.join(PLACES)}", file=sys.stderr)
        return 2
    logs = Path(tempfile.mkdtemp(prefix="elsewhere-"))
    print(f"logs: {logs}\n\n| place | what differs | result | pytest |\n|---|---|---|---|", flush=True)
    return 0 if all([run(names, logs) for names in runs]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
