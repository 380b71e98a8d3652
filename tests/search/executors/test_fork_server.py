"""Processes are forked with what they need, and end with who forked them."""

import inspect
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from search.errors import RunError
from search.executors import fork_server as server_module
from search.executors.fork_server import ForkServer, fork_server, server_started_ahead
from tests.support import forked

CRASHES = inspect.getsourcelines(forked.crash)[1] + 2
"""The line that does it."""

ROOT = Path(__file__).parents[3]
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def server():
    found = ForkServer()
    yield found
    found.close()


def gone(pid):
    """Wait until a process is no more than a line in its parent's table."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


def test_a_process_has_the_values_the_folder_the_path_and_the_environment_of_who_asked(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORKED", "yes")
    monkeypatch.syspath_prepend("/somewhere")
    server.import_ahead("this")
    server.hold("held", np.arange(3), np.zeros((0, 2)))
    process = server.fork(forked.tell, {"own": 1}, log=Path("log"))
    (word, array, empty, own), folder, variable, first, imported = process.connection.recv()
    assert (word, array.tolist(), empty.shape, own) == ("held", [0, 1, 2], (0, 2), {"own": 1})
    assert (folder, variable, first, imported) == (str(tmp_path), "yes", "/somewhere", {"torch", "this"})
    assert server.ended(process) == ("its process ended with exit code 0", False)


def test_what_a_process_writes_into_an_array_is_its_own(server, tmp_path):
    server.hold(np.zeros(1 << 20))
    sums = []
    for target in (forked.write, forked.add):
        process = server.fork(target, log=tmp_path / "log")
        sums.append(process.connection.recv())
        server.ended(process)
    assert sums == [1 << 20, 0.0]


@pytest.mark.parametrize(
    ("target", "ended", "printed"),
    [
        (forked.leave, "its process ended with exit code 7, see log", "leaving"),
        (forked.crash, f"its process ended with SIGSEGV (forked.py, line {CRASHES})", "Fatal Python error"),
        (forked.crash_after_much, f"its process ended with SIGSEGV (forked.py, line {CRASHES})", "a line"),
        (forked.fail, "its process ended with exit code 1, see log", "ValueError: of its own"),
    ],
)
def test_how_a_process_ended_is_said_and_what_it_printed_is_kept(server, tmp_path, target, ended, printed):
    server.hold()
    (tmp_path / "log").write_text('  File "before.py", line 1 in f\n')
    process = server.fork(target, log=tmp_path / "log")
    with pytest.raises(EOFError):
        process.connection.recv()
    assert server.ended(process) == (ended, False)
    assert printed in (tmp_path / "log").read_text()


def test_a_process_that_was_killed_may_have_lacked_memory(server, tmp_path, monkeypatch):
    server.hold()
    process = server.fork(forked.stay, log=tmp_path / "log")
    os.kill(process.connection.recv(), signal.SIGKILL)
    told = "its process ended with SIGKILL: was there enough memory?"
    before = process.killed_for_memory
    monkeypatch.setattr(type(server_module.THIS_MACHINE), "killed_for_memory", lambda self: before + 1)
    assert server.ended(process) == (told, True)


def test_the_end_of_a_process_is_seen_though_what_it_started_goes_on_which_ends_with_it(server, tmp_path):
    server.hold()
    process = server.fork(forked.start_others, log=tmp_path / "log")
    pid, *started = process.connection.recv()
    os.kill(pid, signal.SIGKILL)
    assert process.connection.poll(PATIENCE_S)
    with pytest.raises(EOFError):
        process.connection.recv()
    server.ended(process)
    assert all(gone(each) for each in started)


def test_a_process_goes_on_where_there_is_no_room_for_what_it_prints(server, tmp_path):
    server.hold()
    process = server.fork(forked.print_without_room, log=tmp_path / "log")
    assert process.connection.recv() == "went on"
    assert server.ended(process) == ("its process ended with exit code 0", False)
    assert (tmp_path / "log").stat().st_size == 100


def test_what_a_process_draws_no_other_does(server, tmp_path):
    server.hold()
    processes = [server.fork(forked.draw, log=tmp_path / "log") for _ in range(2)]
    drawn = [process.connection.recv() for process in processes]
    assert len({number for pair in drawn for number in pair}) == 4
    server.let_go()


def test_processes_end_with_their_server_and_a_server_that_ended_is_an_error(tmp_path):
    server = ForkServer()
    process = server.fork(forked.stay, log=tmp_path / "log")
    pid = process.connection.recv()
    server._process.kill()
    assert gone(pid)
    with pytest.raises(RunError, match="the process that starts those of the trials ended"):
        server.fork(forked.stay, log=tmp_path / "log")
    server.close()


def test_server_and_processes_end_with_a_driver_that_is_killed_though_what_it_forked_goes_on(tmp_path):
    code = (
        "import os, sys, time\nfrom pathlib import Path\nfrom search.executors.fork_server import ForkServer\n"
        "from tests.support import forked\nserver = ForkServer()\n"
        f"process = server.fork(forked.start_others, log=Path({str(tmp_path / 'log')!r}))\n"
        "left = os.fork()\nif not left: time.sleep(600)\n"
        "print(left, server._process.pid, *process.connection.recv(), flush=True)\ntime.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as driver:
        left, *pids = (int(word) for word in driver.stdout.readline().split())
        assert len(pids) == 4
        driver.kill()
        driver.wait()
    try:
        assert all(gone(pid) for pid in pids)
    finally:
        os.kill(left, signal.SIGKILL)


def test_one_server_started_ahead_serves_one_after_another_and_ends_what_they_left(tmp_path):
    with server_started_ahead(True):
        with server_started_ahead(True), fork_server() as first:
            left = first.fork(forked.stay, log=tmp_path / "log").connection.recv()
        assert gone(left)
        with fork_server() as second:
            assert second is first
        with pytest.raises(ValueError), fork_server():
            raise ValueError
        assert not server_module._ahead, "what an error left behind is not used again"
    with fork_server() as own:
        assert own is not first
    assert gone(own._process.pid)
