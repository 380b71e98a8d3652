"""Threads that use one core each, whatever the process's torch uses."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

MOST_THREADS = 8
"""Every operation of every thread is started under Python's lock; more threads would wait for it."""


def usual_threads(device: torch.device) -> int:
    """Return how many threads train on ``device``: one launches a GPU's work, a CPU's cores have one each."""
    return min(torch.get_num_threads(), MOST_THREADS) if device.type == "cpu" else 1


@contextmanager
def one_core() -> Iterator[None]:
    """Compute with one core while inside, in this thread; of small numbers several make nothing faster."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def start_pool(threads: int, device: torch.device, *, flush: bool) -> ThreadPoolExecutor:
    """Return threads that each use one core, without changing how many the caller's torch uses.

    Args:
        threads: how many.
        device: what they train on.
        flush: round numbers below 1e-38 (moments of units that died) to 0 in these threads alone: they
            would take a slow path, and no curve can tell.
    """
    barrier = threading.Barrier(threads)
    gpu = None
    if device.type == "cuda":  # a new thread's is the first one, whatever the caller's is
        gpu = torch.cuda.current_device() if device.index is None else device.index

    def begin() -> None:
        torch.set_num_threads(1)
        torch.get_num_threads()  # a thread's first question adopts the process's number: ask while it is 1
        if flush:
            torch.set_flush_denormal(True)
        if gpu is not None:
            torch.cuda.set_device(gpu)

    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="lanes", initializer=begin)
    # each waits for all others, so that every thread starts here and now
    list(pool.map(lambda _: barrier.wait(), range(threads)))
    torch.set_num_threads(before)
    return pool
