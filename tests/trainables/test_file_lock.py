"""A lock on a file is this process's alone: one that is forked meanwhile does not keep it."""

import fcntl
import multiprocessing

import pytest

from search.drive.lock import driver_lock
from trainables.file_lock import file_lock


@pytest.mark.parametrize("lock", [lambda path: file_lock(path, what="files"), lambda path: driver_lock(path, "mine")])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_lock_ends_with_its_holder_though_a_process_that_was_forked_lives_on(tmp_path, lock):
    context, path = multiprocessing.get_context("fork"), tmp_path / "lock"
    runs, gate = context.Event(), context.Event()
    child = context.Process(target=lambda: (runs.set(), gate.wait()))
    with lock(path):
        child.start()
        runs.wait(timeout=60)
    try:
        with path.open() as other:
            assert fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB) is None
        assert child.is_alive()
    finally:
        gate.set()
        child.join()
    assert child.exitcode == 0
