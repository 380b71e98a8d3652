"""optuna-dashboard, the real package in a real browser, shows what ``export --optuna`` wrote."""

import threading
from contextlib import contextmanager
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from benchmarks.report_page import record_study
from search import load
from tests.support.browser import CHROMIUM, DRIVER, browser
from tests.support.command import invoke

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="no Chromium with its driver on this machine"),
    pytest.mark.filterwarnings("ignore:Some regimes for parameter:UserWarning"),  # of few trials, by Optuna
]


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        """Say nothing of a request."""


@contextmanager
def dashboard(url):
    """Serve the pages of a database on loopback; yield their address."""
    import optuna_dashboard

    server = make_server("127.0.0.1", 0, optuna_dashboard.wsgi(url), handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A study in its ledger, and the address of the dashboard's pages of it."""
    folder = tmp_path_factory.mktemp("dashboard")
    record_study(folder / "home", "mine", trials=24, epochs=9)
    url = f"sqlite:///{folder}/optuna.db"
    invoke("export", "mine", "--home", folder / "home", "--optuna", url)
    with dashboard(url) as address:
        yield load("mine", home=folder / "home"), address


@pytest.fixture(scope="module")
def window():
    with browser() as opened:
        yield opened


def test_the_study_is_shown_with_its_figures_and_what_was_found(served, window):
    found, address = served
    window.open(f"{address}/dashboard/studies/1", height=2400)
    best = found.leaderboard[found.leaderboard["state"] == "COMPLETE"].iloc[0]
    assert window.wait(f"return document.body.innerText.includes('Best Trial (number={best.number})')")
    assert window.wait("return document.querySelectorAll('.main-svg .trace').length > 20"), "curves are drawn"
    text = window.run("return document.body.innerText")
    assert str(best.value) in text
    assert "Intermediate values" in text
    assert "learning_rate" in text
    assert "lanewise.kind\tregularization" in text
    assert window.complaints() == []
    assert all(asked.startswith((address, "data:")) for asked in window.requests())


def test_a_trial_is_shown_with_its_curve_and_what_optuna_has_no_place_for(served, window):
    found, address = served
    window.open(f"{address}/dashboard/studies/1/trials?numbers=3")
    assert window.wait("return document.body.innerText.includes('lanewise.config_hash')")
    text = window.run("return document.body.innerText")
    assert "24 Trials" in text
    ours = found.trials[found.trials["number"] == 3].iloc[0]
    assert f"lanewise.config_hash {ours.config_hash}" in text
    for row in found.epochs[found.epochs["number"] == 3].itertuples():
        assert f"{row.epoch} {row.val_loss}" in text
    for name, value in ours.params.items():
        assert f"{name} {value}" in text
    assert window.complaints() == []
