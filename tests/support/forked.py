"""What processes run that a test's fork server forks."""

import ctypes
import os
import sys
import time


def tell(connection, *values):
    """Send what the process was given, and how it stands."""
    connection.send((values, os.getcwd(), os.environ.get("FORKED"), sys.path[0], "torch" in sys.modules))


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
