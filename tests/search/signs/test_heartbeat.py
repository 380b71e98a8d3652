"""When a sign of life is given: after some seconds of silence, then more and more rarely, never beside other words."""

import os
import pty
import select
import subprocess
import sys

import pytest

from search.signs.heartbeat import Heartbeat
from search.signs.life import TERMINAL, hushed
from search.signs.terminal import Terminal
from tests.support.pages import ROOT
from trainables.stage import stage

AFTER_S = 3.0


class Clocked:
    """A heartbeat over ``seconds`` of which the test says what else is printed, and when stages begin."""

    def __init__(self, descriptor):
        self.terminal = Terminal(descriptor)
        self.heart = Heartbeat(self.terminal, after_s=AFTER_S)
        self.began = self.terminal.written_at
        self.now = 0.0

    def until(self, second):
        """Beat until then; return the seconds at which something was said."""
        said = []
        while self.now < second:
            self.now += 0.5
            before = self.terminal.written_at
            self.heart.beat(self.began + self.now)
            if self.terminal.written_at != before:
                self.terminal.written_at = self.began + self.now
                said.append(self.now)
        return said

    def prints(self):
        self.terminal.written_at = self.terminal.other_at = self.began + self.now


@pytest.fixture
def piped():
    reader, writer = os.pipe()
    yield Clocked(writer), reader
    os.close(reader)
    os.close(writer)


def shown(descriptor):
    """Return all that a terminal was sent until now."""
    text = b""
    while select.select([descriptor], [], [], 0.05)[0]:
        text += os.read(descriptor, 1000)
    return text.decode()


def doing(clocked, what, **given):
    made = stage(what, **given)
    opened = made.__enter__()
    opened.began = clocked.began + clocked.now
    return made


def test_the_first_line_comes_after_three_seconds_and_the_others_more_and_more_rarely(piped):
    clocked, reader = piped
    made = doing(clocked, "reading the data")
    times = clocked.until(300)
    made.__exit__(None, None, None)
    gaps = [b - a for a, b in zip([0.0, *times], times, strict=False)]
    assert gaps[:3] == [3, 6, 6] and gaps == sorted(gaps) and gaps[-1] == 30
    first, second = os.read(reader, 10_000).decode().splitlines()[:2]
    assert (first, second) == ("still reading the data: 3 s", "still reading the data: 9 s")


def test_each_new_stage_is_heard_of_after_three_seconds(piped):
    clocked, _ = piped
    first = doing(clocked, "reading the data")
    assert clocked.until(100)[-1] > 80
    first.__exit__(None, None, None)
    second = doing(clocked, "trying out the model")
    assert 100 < clocked.until(105)[0] <= 103
    second.__exit__(None, None, None)


def test_what_says_itself_every_five_seconds_how_far_it_is_is_left_alone(piped):
    clocked, _ = piped
    made = doing(clocked, "training")
    clocked.until(1)
    for second in range(1, 120, 5):
        clocked.prints()
        assert clocked.until(second + 5) == []
    made.__exit__(None, None, None)


def test_many_short_stages_are_no_silence(piped):
    clocked, _ = piped
    said = []
    for second in range(1, 40):
        made = doing(clocked, "deciding")
        said += clocked.until(second)
        made.__exit__(None, None, None)
    assert said[0] == 3 and len(said) > 3


def test_what_cannot_wait_is_said_at_once_and_once(piped):
    clocked, reader = piped
    made = doing(clocked, "stopping", at_once=True)
    assert clocked.until(2) == [0.5]
    assert os.read(reader, 100) == b"stopping\n"
    made.__exit__(None, None, None)


def test_a_terminal_has_one_line_in_place_that_anything_else_takes_away():
    ours, theirs = pty.openpty()
    clocked = Clocked(theirs)
    made = doing(clocked, "reading the data")
    clocked.until(2.5)
    clocked.until(4)
    assert shown(ours) == "\r\x1b[K... reading the data: 3 s\r\x1b[K... reading the data: 4 s"
    clocked.terminal.writing(1, memoryview(b"an answer\n"))
    assert shown(ours) == "\r\x1b[K"
    made.__exit__(None, None, None)
    os.close(ours)
    os.close(theirs)


def test_nothing_is_drawn_into_a_line_that_is_being_written():
    ours, theirs = pty.openpty()
    terminal = Terminal(theirs)
    terminal.writing(1, memoryview(b"go on? "))
    terminal.draw("... reading")
    terminal.writing(1, memoryview(b"yes\n"))
    terminal.draw("... reading")
    assert shown(ours) == "\r\x1b[K... reading"
    os.close(ours)
    os.close(theirs)


def test_a_reader_who_does_not_read_keeps_nobody_waiting():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writer, b"x" * 65536)
    os.set_blocking(writer, True)
    terminal = Terminal(writer)
    before = terminal.written_at
    terminal.say("a line")
    assert terminal.written_at == before
    os.close(reader)
    os.close(writer)


def test_a_program_of_the_users_gives_signs_while_an_objective_of_optunas_is_tried_out(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(
        "import time\n"
        "from search.integrations.optuna import declare\n\n"
        "def objective(trial):\n"
        "    time.sleep(0.7)\n"
        "    return trial.suggest_float('x', 0, 1)\n\n"
        "print(len(declare(objective).space), 'parameter')\n"
    )
    environment = {**os.environ, "LANEWISE_SIGN_AFTER_S": "0.2", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "1 parameter\n"
    assert "still calling the objective to see what it suggests, call 1" in done.stderr


def test_a_quiet_command_gives_no_sign_until_it_is_over(piped):
    clocked, reader = piped
    clocked.terminal.hushed = True
    with stage("reading the data"):
        assert clocked.until(60) == []
        clocked.terminal.hushed = False
        assert clocked.until(70) != []
    assert "still reading the data" in shown(reader)


def test_signs_are_given_again_after_a_quiet_command():
    with hushed(True):
        with hushed(False):
            assert TERMINAL.hushed, "what is begun in it is quiet too"
    assert not TERMINAL.hushed
