"""``search watch``: a study's report, written anew when there is news, for the one who was given its address alone."""

import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

from benchmarks.report_page import record_study
from benchmarks.watching import NAME, digest
from search import declare, run
from search.commands.verbs import app
from search.drive.lock import driver_lock
from search.errors import UsageError
from search.face.live_view import Silent
from search.ledger import Ledger
from search.ledger.outcome import SessionEnding
from search.ledger.paths import Paths
from search.watch.server import WatchServer
from search.watch.study import WatchedStudy
from tests.support.growing_study import growing_study
from trainables.data import DataSpec


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@contextmanager
def serving(study):
    """Serve a study; yield what asks for a path below its address, and returns status, headers and text."""
    with WatchServer(study) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        def ask(path="", *, method="GET", base=None, **headers):
            asked = urllib.request.Request((base or server.url) + path, method=method)
            for name, value in headers.items():
                asked.add_header(name.replace("_", "-"), value)
            try:
                with urllib.request.urlopen(asked) as answer:
                    return answer.status, answer.headers, answer.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, error.headers, error.read().decode()

        ask.root = f"http://127.0.0.1:{server.server_port}/"
        try:
            yield ask
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    paths = record_study(tmp_path_factory.mktemp("home"), "mine", trials=4, epochs=4)
    with serving(WatchedStudy(paths)) as asking:
        yield asking


def test_the_page_is_the_report_with_where_the_search_stands(ask):
    status, headers, page = ask()
    assert status == 200
    assert "Not confirmed: val_loss" in page
    assert "The search has ended; as of " in page
    assert "default-src 'none'" in page and "connect-src 'self'" in page
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Security-Policy"] == "frame-ancestors 'none'"
    assert "Python" not in headers["Server"]


def test_a_page_that_has_seen_everything_is_told_so(ask):
    status, headers, contents = ask("update")
    assert status == 200
    assert contents.startswith('<div id="page">')
    assert "<style>" not in contents
    status, _, text = ask("update", If_None_Match=headers["ETag"])
    assert (status, text) == (304, "")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:80",
        "127.0.0.1:80@evil.example",
        "localhost:",
        "127.0.0.1.evil.example:80",
        "localhost.",
        "",
    ],
)
def test_a_name_that_was_made_to_point_here_is_refused(ask, host):
    assert ask(Host=host)[0] == 403


@pytest.mark.parametrize("host", ["localhost:8000", "LOCALHOST", "127.0.0.1:1"])
def test_a_forwarded_port_is_not(ask, host):
    assert ask(Host=host)[0] == 200


@pytest.mark.parametrize("path", ["", "update", "wrong-word/", "../../etc/passwd", "%2e%2e/etc/passwd"])
def test_without_the_word_of_its_address_there_is_nothing(ask, path):
    status, _, text = ask(path, base=ask.root)
    assert status == 404
    assert "Not confirmed" not in text


@pytest.mark.parametrize("path", ["../etc/passwd", "..%2f..%2fetc/passwd", "ledger.db", "update/", "update?x"])
def test_there_is_the_page_and_its_news_and_nothing_else(ask, path):
    assert ask(path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_it_is_only_read(ask, method):
    status, _, text = ask(method=method)
    assert status == 501
    assert "Not confirmed" not in text


def test_it_is_read_anew_when_there_is_news_and_not_too_often(tmp_path):
    clock = Clock()
    with growing_study(tmp_path) as growing:
        study = WatchedStudy(growing.paths, least_s=2, rest=1e9, now=clock)
        first = study.shown()
        assert "No answer yet" in first.page
        assert "0 of 40 trials ended" in first.live.sentence
        clock.now = 1e6
        assert study.shown() is first, "nothing is new"
        growing.add(0, 1.0, 0.5)
        assert study.shown() is first, "it was looked at a moment ago"
        clock.now += 2
        assert study.shown() is first, "the last one took its share"
        growing.end()
        clock.now += 2
        last = study.shown()
        assert "by trial 0" in last.page
        assert last.live.sentence.startswith("The search has ended; as of ")
        assert not last.live.going
        assert last.live.every_s > first.live.every_s


def test_what_is_new_is_shown_once_that_may_be(tmp_path):
    clock = Clock()
    with growing_study(tmp_path) as growing:
        study = WatchedStudy(growing.paths, least_s=2, rest=0, now=clock)
        growing.add(0, 1.0, 0.5)
        growing.add(1, 1.0, ends=False)
        clock.now += 2
        shown = study.shown()
        assert shown.version == 2
        assert "1 of 40 trials ended, 1 running" in shown.live.sentence
        assert "search confirm" not in shown.page, "whoever searches it holds its lock"


def test_a_search_that_has_not_begun_its_session_is_waited_for(tmp_path):
    paths = record_study(tmp_path, "mine", trials=1, epochs=3, ending=SessionEnding.INTERRUPTED)
    with Ledger(paths.ledger_url) as ledger, ledger.writing() as connection:
        connection.exec_driver_sql("DELETE FROM trials")
        connection.exec_driver_sql("DELETE FROM epochs")
        connection.exec_driver_sql("DELETE FROM sessions")
    with driver_lock(paths.lock, "mine"):
        assert "Searching: 0 of 1 trial ended" in WatchedStudy(paths).shown().live.sentence
    with pytest.raises(UsageError, match="no trial of mine has ended"):
        WatchedStudy(paths)


def test_a_ledger_that_cannot_be_read_for_once_is_said(tmp_path):
    clock = Clock()
    with growing_study(tmp_path) as growing:
        growing.add(0, 1.0)
        study = WatchedStudy(growing.paths, rest=0, now=clock)
        moved = growing.paths.folder.rename(tmp_path / "moved")
        clock.now += 100
        shown = study.shown()
        assert "no study 'mine'" in shown.live.sentence
        assert "by trial 0" in shown.page
        clock.now += 100
        assert study.shown() is shown
        moved.rename(growing.paths.folder)
        growing.add(1, 0.5)
        clock.now += 100
        assert "by trial 1" in study.shown().page


class WatchedByItsView(Silent):
    """Has the report of a study written in the middle of its search, again and again."""

    def __init__(self, paths):
        self._paths = paths
        self.looks = 0

    def update(self, progress):
        assert WatchedStudy(self._paths).shown().live.going
        self.looks += 1


def test_a_search_that_is_watched_has_the_same_curves_and_decisions(tmp_path):
    study = declare(
        "regularization",
        name=NAME,
        budget={"trials": 8, "max_epochs": 15},  # a busy machine looks the more seldom
        data=DataSpec(train_examples=100),
        tracking={"enabled": False},
        confirm={"pairs": 0},
    )
    watching = WatchedByItsView(Paths(tmp_path / "watched", NAME))
    run(study, home=tmp_path / "watched", view=watching)
    run(study, home=tmp_path / "alone")
    assert watching.looks >= 2  # a look takes as long as it takes; meanwhile the lanes train on
    assert digest(tmp_path / "watched") == digest(tmp_path / "alone")


def errors_of(*arguments):
    done = CliRunner().invoke(app, [str(a) for a in arguments], standalone_mode=False)
    assert isinstance(done.exception, UsageError)
    return done.exception.errors


def test_what_cannot_be_watched_is_said_in_a_line(tmp_path):
    paths = record_study(tmp_path, "begun", trials=1, epochs=3, ending=SessionEnding.INTERRUPTED)
    with Ledger(paths.ledger_url) as ledger, ledger.writing() as connection:
        connection.exec_driver_sql("UPDATE trials SET state = 'INTERRUPTED', stop_reason = NULL")
    (line,) = errors_of("watch", "begun", "--home", tmp_path)
    assert line.startswith("no trial of begun has ended")
    (line,) = errors_of("watch", "begin", "--home", tmp_path)
    assert "no study 'begin'" in line and "'begun'" in line
    (line,) = errors_of("watch", "begun", "--home", tmp_path, "--port", 65536)
    assert line == "--port must be between 1 and 65535, or 0 for a free one, got 65536"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_ctrl_c_is_how_it_ends_and_any_other_signal_has_its_exit_code(tmp_path, number, code):
    record_study(tmp_path, "mine", trials=1, epochs=3)
    command = [sys.executable, "-m", "search", "watch", "mine", "--home", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as watching:
        try:
            url = watching.stdout.readline().split()[-1]
            watching.stdout.readline()
            with urllib.request.urlopen(url) as page:  # it is served: nothing is being printed any more
                assert page.status == 200
            watching.send_signal(number)
            rest = watching.communicate()[0]
        finally:
            watching.kill()
    assert (watching.returncode, rest) == (code, "\nno longer watching mine\n")


def test_a_port_in_use_is_said_in_a_line(tmp_path):
    study = WatchedStudy(record_study(tmp_path, "mine", trials=1, epochs=3))
    with WatchServer(study) as server, pytest.raises(UsageError, match=r"port \d+ of 127\.0\.0\.1 is in use"):
        WatchServer(study, server.server_port)
