"""Whether a limit of the address space (``ulimit -v``) leaves room to train, tried in a process of its own."""

from __future__ import annotations

import subprocess
import sys

ROOM = 3 << 29
"""Bytes beside the libraries: threads' stacks and heaps, of which most is never touched. Measured: 1.2 GiB."""

PATIENCE_S = 60.0
"""A library that finds no room may try for ever; to load them takes a few seconds."""

TRIED = f"import mmap, torch, sklearn.datasets, optuna; mmap.mmap(-1, {ROOM})"


def narrow_address_space() -> str | None:
    """Return why a process cannot train within the limit of its address space, in a line; None where it can.

    Without a limit nothing is tried. A trial in this process would leave libraries half loaded.
    """
    if (limit := _limit()) is None:
        return None
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", TRIED], capture_output=True, text=True, errors="replace", timeout=PATIENCE_S
        )
    except subprocess.TimeoutExpired:
        why = f"not loaded after {PATIENCE_S:.0f} s"
    except OSError as error:
        why = str(error.strerror)
    else:
        if done.returncode == 0:
            return None
        why = (done.stderr.strip() or f"its process ended with {done.returncode}").splitlines()[-1]
    return (
        f"torch cannot be loaded and train here ({why}): a process is limited to {limit / (1 << 30):.1f} GiB of "
        "address space; raise the limit: ulimit -v unlimited"
    )


def _limit() -> int | None:
    """Return the bytes of address space that a process may have, None where all."""
    try:
        import resource
    except ImportError:  # no such limits on this system
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit
