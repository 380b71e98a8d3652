"""A signal in any stage of a command: one line that says where it was and how to go on, and the exit code."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from search.signs.stopping import AGAIN, Stopped, handling_signals, raising_signals, where_stopped
from trainables.errors import is_of_a_signal
from trainables.stage import stage

QUICK = {"LANEWISE_SIGN_AFTER_S": "0.2", "LANEWISE_STOP_GRACE_S": "0.5"}


def test_a_line_says_where_it_was_and_what_the_nearest_stage_around_it_knows_of_going_on():
    with stage("searching", way_on="go on with: resume"), stage("reading the data"):
        assert where_stopped() == "stopped while reading the data; go on with: resume"
        with stage("learning", way_on="the same command goes on there"), stage("stopping", at_once=True):
            assert where_stopped() == "stopped while learning; the same command goes on there"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_is_raised_as_no_error_of_what_it_interrupts(number, code):
    with pytest.raises(Stopped) as caught, handling_signals(raising_signals()), stage("reading the data"):
        os.kill(os.getpid(), number)
    assert caught.value.exit_code == code and is_of_a_signal(caught.value)
    assert str(caught.value) == f"stopped while reading the data; {AGAIN}"


def run_living(code):
    """Run ``code`` in a process that gives signs of life as a command does."""
    begin = "from search.signs.life import begin, command_running\nbegin()\n"
    imports = "import os, signal, sys, time\nfrom trainables.stage import stage\n"
    return subprocess.run(
        [sys.executable, "-c", begin + imports + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env={**os.environ, **QUICK},
        check=False,
    )


def test_before_anything_was_done_a_signal_ends_the_process_at_once():
    done = run_living("os.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(60)")
    assert (done.returncode, done.stdout) == (143, "")
    assert done.stderr == f"stopped while starting; {AGAIN}\n"


def test_code_that_catches_everything_is_ended_all_the_same():
    done = run_living("""
        with command_running(), stage("reading the data"):
            came = False
            while True:
                try:
                    if not came:
                        came = True
                        os.kill(os.getpid(), signal.SIGINT)
                    time.sleep(0.1)
                except BaseException:
                    pass
    """)
    assert done.returncode == 130
    assert f"stopped while reading the data, which was not to be stopped within 0.5 s; {AGAIN}\n" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("kind", ["weakref", "del", "gc"])
def test_a_signal_within_a_finalizer_is_heard_after_it(kind):
    """Python drops what is raised there; the same signal, sent once more, is no second one of the user's."""
    done = run_living(f"""
        import gc, weakref
        class Kept:
            def __del__(self):
                {"come()" if kind == "del" else "pass"}
        def come(*_):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.1)
        with command_running(), stage("opening the ledger"):
            kept = Kept()
            if {kind == "weakref"}:
                gone = weakref.ref(kept, come)
            if {kind == "gc"}:
                gc.callbacks.append(lambda phase, _: come() if phase == "stop" else None)
                gc.collect()
            try:
                del kept
                time.sleep(60)
            except BaseException as error:
                gc.callbacks.clear()
                print(type(error).__name__, error.exit_code)
    """)
    assert (done.stdout, done.stderr, done.returncode) == ("Stopped 143\n", "", 0)


def test_a_signal_that_is_dropped_again_and_again_is_heard_in_the_end():
    done = run_living("""
        class Kept:
            def __del__(self):
                os.kill(os.getpid(), signal.SIGINT)
                for _ in range(4):
                    time.sleep(0.03)
        class Keeper:
            def __init__(self):
                self.kept = [Kept()]
            def __del__(self):
                self.kept.clear()
                time.sleep(0.05)
        with command_running(), stage("opening the ledger"):
            keeper = Keeper()
            try:
                del keeper
                time.sleep(60)
            except BaseException as error:
                print(type(error).__name__, error.exit_code)
    """)
    assert (done.stdout, done.stderr, done.returncode) == ("Stopped 130\n", "", 0)


def test_any_other_error_of_a_finalizer_is_shown_as_ever():
    done = run_living("""
        class Kept:
            def __del__(self):
                raise ValueError("of a user's own")
        with command_running():
            Kept()
    """)
    assert done.returncode == 0 and "ValueError: of a user's own" in done.stderr


def test_a_call_that_does_not_come_back_to_python_is_ended_all_the_same():
    done = run_living("""
        import ctypes, threading
        with command_running(), stage("training"):
            threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
            library, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
            library.pthread_mutex_lock(mutex)
            library.pthread_mutex_lock(mutex)
    """)
    assert done.returncode == 143
    assert "stopped while training, which was not to be stopped within 0.5 s" in done.stderr


def test_a_search_that_hears_of_the_signal_ends_in_its_own_time():
    done = run_living("""
        from search.executors.control import Control
        control = Control()
        with command_running(), control.signals(on_second=lambda: None), stage("training"):
            os.kill(os.getpid(), signal.SIGINT)
            assert control.stopping is not None
            time.sleep(1.5)
        sys.exit(control.exit_code)
    """)
    assert done.returncode == 130
    assert (
        "\nstopping at SIGINT (what is in flight has 4 s, and a second signal ends it at once)\n" in f"\n{done.stderr}"
    )
    assert "stopped while" not in done.stderr


def test_a_search_that_does_not_hear_is_ended():
    done = run_living("""
        from search.executors.control import Control
        with command_running(), Control().signals(on_second=lambda: None):
            with stage("an epoch of minutes", way_on="go on with: resume"):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(60)
    """)
    assert done.returncode == 130
    last = done.stderr.splitlines()[-1]
    assert last == "stopped while an epoch of minutes, which was not to be stopped within 0.5 s; go on with: resume"


def test_a_forked_child_has_no_part_in_it():
    done = run_living("""
        from trainables.own_process import in_own_process
        def killed():
            os.kill(os.getpid(), signal.SIGTERM)
        with command_running(), stage("importing"):
            try:
                in_own_process(killed, limit_s=30)
            except RuntimeError as error:
                print(error)
            time.sleep(1)
            print("goes on")
    """)
    assert done.returncode == 0, done.stderr
    assert "SIGTERM" in done.stdout and done.stdout.endswith("goes on\n")
