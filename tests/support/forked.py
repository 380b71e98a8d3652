"""What processes run that a test's fork server forks."""

import ctypes
import os
import random
import resource
import subprocess
import sys
import time

import numpy as np


def tell(connection, *values):
    """Send what the process was given, and how it stands."""
    connection.send(
        (values, os.getcwd(), os.environ.get("FORKED"), sys.path[0], {"torch", "this"} & sys.modules.keys())
    )


def write(connection, array):
    """Change an array that all share, and send its sum."""
    array[:] = 1
    connection.send(float(array.sum()))


def add(connection, array):
    """Send the sum of an array."""
    connection.send(float(array.sum()))


def leave(connection):
    """End with a code of its own."""
    print("leaving", flush=True)
    os._exit(7)


def crash(connection):
    """Read what is not there."""
    ctypes.string_at(0)


def fail(connection):
    """Raise."""
    raise ValueError("of its own")


def stay(connection):
    """Say that it is there, and stay."""
    connection.send(os.getpid())
    time.sleep(600)


def crash_after_much(connection):
    """Print more than anybody reads, and crash."""
    print("a line\n" * 100_000)
    crash(connection)


def start_others(connection):
    """Start processes that have what this one has open, say which they are, and stay."""
    forked = os.fork()
    if not forked:
        time.sleep(600)
    started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], close_fds=False)
    connection.send((os.getpid(), forked, started.pid))
    time.sleep(600)


def draw(connection):
    """Send what NumPy and Python draw."""
    connection.send((float(np.random.rand()), random.random()))


def print_without_room(connection):
    """Print more than a file may have here, and send that it went on."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
    for _ in range(10):
        print("a line that is printed, of some length")
    connection.send("went on")
