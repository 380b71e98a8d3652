import os
import signal
import subprocess
import sys

import pytest

from search.executors.control import Control
from search.ledger.outcome import StopReason
from search.signs.stopping import EXIT_CODES

TWICE = """
import os, signal, sys
from search.executors.control import Control
control = Control()
with control.signals(on_second=lambda: print("children ended", flush=True)):
    os.kill(os.getpid(), signal.Signals[sys.argv[1]])
    print("once", control.stopping, flush=True)
    os.kill(os.getpid(), signal.Signals[sys.argv[2]])
    print("never reached", flush=True)
"""


def test_without_a_budget_or_a_signal_a_search_goes_on():
    control = Control()
    assert control.stopping is None
    assert control.exit_code == 0


def test_a_time_budget_that_is_used_up_stops_a_search_and_is_no_failure():
    control = Control(0.0)
    assert control.stopping is StopReason.BUDGET
    assert control.exit_code == 0


def test_a_time_budget_that_is_not_used_up_stops_nothing():
    assert Control(1e9).stopping is None


def test_a_time_budget_is_measured_by_the_clock_that_is_given():
    seconds = iter([100.0, 109.9, 110.0])
    control = Control(10.0, now=lambda: next(seconds))
    assert control.stopping is None
    assert control.stopping is StopReason.BUDGET


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_asks_for_a_clean_stop(number, code):
    control = Control(0.0)
    with control.signals(on_second=lambda: pytest.fail("there was one signal")):
        os.kill(os.getpid(), number)
    assert control.stopping is StopReason.USER  # the user's word counts before the clock's
    assert control.exit_code == code


def test_a_closed_terminal_stops_nothing_under_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        control = Control()
        with control.signals(on_second=lambda: pytest.fail("there was no signal")):
            os.kill(os.getpid(), signal.SIGHUP)
        assert control.stopping is None
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_every_exit_code_is_the_shells():
    assert {number: 128 + number for number in EXIT_CODES} == EXIT_CODES


def test_signal_handlers_are_put_back_even_after_an_error():
    before = {number: signal.getsignal(number) for number in EXIT_CODES}
    with pytest.raises(ZeroDivisionError), Control().signals(on_second=lambda: None):
        assert all(signal.getsignal(number) is not before[number] for number in EXIT_CODES)
        raise ZeroDivisionError
    assert {number: signal.getsignal(number) for number in EXIT_CODES} == before


@pytest.mark.parametrize(("first", "second", "code"), [("SIGINT", "SIGINT", 130), ("SIGINT", "SIGTERM", 143)])
def test_a_second_signal_ends_children_and_the_process_at_once(first, second, code):
    run = subprocess.run([sys.executable, "-c", TWICE, first, second], capture_output=True, text=True, check=False)
    assert run.returncode == code, run.stderr
    assert run.stdout.splitlines() == ["once user", "children ended"]


def test_a_stop_can_be_requested_without_a_signal():
    control = Control()
    control.request(signal.SIGINT)
    assert control.stopping is StopReason.USER
    assert control.exit_code == 130


CHILDREN = """
import subprocess, sys, time
import psutil
from search.signs.stopping import kill_children
grandchild = "import time; time.sleep(600)"
child = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {grandchild!r}]); time.sleep(600)"
process = subprocess.Popen([sys.executable, "-c", child])
while len(family := psutil.Process().children(recursive=True)) < 2:
    time.sleep(0.01)
kill_children()
_, alive = psutil.wait_procs(family, timeout=60)
print(len(family), [p.pid for p in alive if p.status() != psutil.STATUS_ZOMBIE])
"""


def test_child_processes_and_theirs_are_killed():
    run = subprocess.run([sys.executable, "-c", CHILDREN], capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "2 []", run.stderr
