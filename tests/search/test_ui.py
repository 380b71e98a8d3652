"""The MLflow pages of a study, opened in a real browser."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from search.ledger import Ledger, sqlite_url
from search.ledger.outcome import SessionEnding
from search.tracking.follow import DRAIN_GRACE_S, sync
from tests.search.test_tracking import four_endings, make_tracker, record_study

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine"),
]


@pytest.fixture
def page(tmp_path):
    """Serve MLflow's pages for a recorded study; yield a function that returns a page's text."""
    with Ledger(sqlite_url(tmp_path / "ledger.db"), create=True) as ledger:
        _, writer, session = record_study(ledger, "my-study")
        four_endings(writer)
        ledger.end_session(session, SessionEnding.DONE)
        tracker, _ = make_tracker(ledger, tmp_path, "my-study")
        sync(tracker, grace_s=DRAIN_GRACE_S)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", store, "--workers", "1"]
    server = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
        start_new_session=True,
    )
    try:
        wait_for(f"{address}/health")
        yield lambda path: dump(f"{address}/{path}", tmp_path / "profile")
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # on a busy machine its clean end takes longer than the test
        server.wait()


def wait_for(url, patience_s=60):
    end = time.monotonic() + patience_s
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.3)


def dump(url, profile):
    """Return the page after its scripts ran."""
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={profile}", "--virtual-time-budget=30000", "--dump-dom", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def test_the_study_and_its_best_value_are_on_the_pages(page):
    runs = page("#/experiments/1/runs")
    assert "regularization" in runs
    assert "my-study" in runs
