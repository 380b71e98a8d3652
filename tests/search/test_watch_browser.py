"""A watched study in a real browser: it changes in its place, and what its reader set stays."""

import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from search.watch.server import WatchServer
from search.watch.study import WatchedStudy
from tests.support.browser import CHROMIUM, DRIVER, browser
from tests.support.growing_study import growing_study

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="no Chromium with its driver on this machine"),
]


@pytest.fixture(scope="module")
def window():
    with browser() as opened:
        yield opened


@contextmanager
def served(paths):
    """Serve a study as fast as it changes; yield its address."""
    with WatchServer(WatchedStudy(paths, least_s=0.1, rest=0)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def ended(command, **streams):
    """Start a process, which is killed if it is there afterwards."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **streams) as process:
        try:
            yield process
        finally:
            process.kill()


ROWS = "return document.querySelectorAll('#leaderboard tbody tr').length"
TRIALS = "return [...document.querySelectorAll('#leaderboard tbody tr')].map(r => +r.cells[1].textContent)"
CURVE = "document.getElementById('figure-curves-val-loss')"


def test_it_changes_in_its_place_and_what_the_reader_set_stays(window, tmp_path):
    with growing_study(tmp_path) as growing, served(growing.paths) as url:
        window.open(url, width=375, height=667, dark=True)
        window.run("window.stays = true")
        assert window.run("return document.getElementById('headline').textContent") == "No answer yet"
        for number in range(12):
            growing.add(number, 1.0 + 0.1 * number, 0.9 - 0.02 * number)
        assert window.wait(f"return (() => {{ {ROWS} }})() === 12")
        window.run("document.querySelectorAll('#leaderboard th button')[1].click()")
        window.run("document.querySelectorAll('#leaderboard th button')[1].focus()")
        window.run("document.querySelector('#leaderboard .scroll').scrollLeft = 60")
        window.run("document.querySelector('#reproduce details').open = true")
        window.run(f"drawAll(); {CURVE}.scrollIntoView()")
        assert window.wait(f"return {CURVE}.querySelector('.main-svg .trace')")
        window.run(f"Plotly.relayout({CURVE}, {{'xaxis.range': [1.25, 1.75]}}); window.kept = {CURVE}")
        place = window.run(f"return {CURVE}.getBoundingClientRect().top")

        growing.add(12, 1.0, 0.1)
        assert window.wait(f"return (() => {{ {ROWS} }})() === 13")
        assert window.run(TRIALS) == list(range(13)), "sorted as the reader had it"
        assert window.run("return document.activeElement.textContent") == "trial"
        assert window.run("return document.querySelector('#leaderboard .scroll').scrollLeft") == 60
        assert window.run("return document.querySelector('#reproduce details').open")
        assert window.run(f"return window.kept === {CURVE} && {CURVE}.layout.xaxis.range") == [1.25, 1.75]
        assert any("best: trial 12" in name for name in window.run(f"return {CURVE}.data.map(t => t.name)"))
        assert abs(window.run(f"return {CURVE}.getBoundingClientRect().top") - place) < 2, "nothing jumps"
        assert "by trial 12" in window.run("return document.title")

        growing.end()
        assert window.wait("return document.getElementById('live').textContent.startsWith('The search has ended')")
        assert window.run("return document.getElementById('live').className") == "ended"
        assert window.run("return window.stays && document.documentElement.scrollWidth <= window.innerWidth")
        assert window.complaints() == []
        assert set(window.requests()) == {url, f"{url}update"}


def test_a_page_whose_watch_has_ended_says_so(window, tmp_path):
    with growing_study(tmp_path) as growing:
        with served(growing.paths) as url:
            window.open(url)
        assert window.wait("return document.getElementById('live').classList.contains('lost')")
    window.open("about:blank")
    window.complaints()  # the browser's own, that nobody answered


def test_a_real_search_is_watched_from_its_first_trial_to_its_end(window, tmp_path):
    size = ["--trials", "24", "--max-epochs", "60", "--scheduler", "none", "--train-examples", "400", "--lanes", "2"]
    where = ["--name", "it", "--home", str(tmp_path)]
    run = [sys.executable, "-m", "search.run", "regularization", *size, *where, "--no-confirm", "--tracking", "offline"]
    with ended(run, stderr=subprocess.STDOUT) as search:
        next(line for line in search.stdout if line.startswith("executor "))
        with ended([sys.executable, "-m", "search", "watch", "it", "--home", str(tmp_path)]) as watching:
            url = re.search(r"http://127\.0\.0\.1:\d+/\S+/", watching.stdout.readline())[0]
            window.open(url)
            window.run("window.stays = true")
            search.communicate()
            assert search.returncode == 0
            assert window.wait("return document.getElementById('live').textContent.startsWith('The search has ended')")
            assert window.run(ROWS) == 24
            assert window.run("return window.stays")
            assert window.complaints() == []
            os.kill(watching.pid, signal.SIGINT)
            assert "no longer watching it" in watching.communicate()[0]
            assert watching.returncode == 0
