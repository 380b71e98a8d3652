"""Joining or starting Ray: what is asked of it, what a user is told, and whose signals they are."""

import os
import signal
import stat
import subprocess
import sys
from types import SimpleNamespace

import pytest
import ray
from ray._private import ray_constants, services

from search.declaration.study import Resources
from search.errors import RunError
from search.executors.ray_session import _read_authentication, ray_session
from tests.support.ray_head import free_ports


@pytest.fixture(autouse=True)
def authentication_is_read_again():
    """Set up before the variables are changed, ended after they are what they were: Ray reads them once a process."""
    yield
    _read_authentication()


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What ``ray.init`` was called with; nothing is started."""
    calls = []

    def init(**options):
        calls.append(options)
        return SimpleNamespace(address_info={"session_dir": str(tmp_path)})

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: calls.append("shutdown"))
    monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", True)
    return calls


def listening(monkeypatch):
    """Let every address answer."""
    monkeypatch.setattr("search.executors.ray_session.socket.create_connection", lambda *_, **__: open("/dev/null"))


def test_without_an_address_ray_starts_here_on_loopback_and_is_shut_down(asked):
    with ray_session(Resources()):
        assert asked[0]["address"] == "local"
        assert asked[0]["include_dashboard"] is False
        assert services.get_node_ip_address() in ("127.0.0.1", "::1"), "where Ray's servers will listen"
    assert asked[1:] == ["shutdown"]


def test_with_an_address_ray_joins_and_leaves(asked, monkeypatch):
    listening(monkeypatch)
    with ray_session(Resources(address="10.0.0.1:6379")):
        assert asked[0]["address"] == "10.0.0.1:6379"
        assert not {"_node_ip_address", "include_dashboard", "num_cpus"} & set(asked[0])
        assert ray_constants.ENABLE_RAY_CLUSTER
    assert asked[1:] == ["shutdown"]


@pytest.mark.parametrize(
    ("address", "line"),
    [(None, "starting Ray on this machine ..."), ("10.0.0.1:6379", "joining the Ray cluster at 10.0.0.1:6379 ...")],
)
def test_that_ray_starts_is_said_before_it_does(asked, monkeypatch, address, line):
    listening(monkeypatch)
    said = []
    with ray_session(Resources(address=address), say=lambda text: said.append((text, len(asked)))):
        assert said == [(line, 0)]


@pytest.mark.parametrize("mode", [None, "disabled", "token"])
def test_a_ray_that_starts_here_asks_for_a_token_of_its_own_whatever_the_user_has_for_clusters(
    asked, monkeypatch, tmp_path, mode
):
    tmp_path.chmod(0o777)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    if mode is not None:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    before, tokens = dict(os.environ), []
    for _ in range(2):
        with ray_session(Resources()):
            assert os.environ["RAY_AUTH_MODE"] == "token" and "RAY_AUTH_TOKEN_PATH" not in os.environ
            tokens.append(os.environ["RAY_AUTH_TOKEN"])
            assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700, "the folder of its sockets and logs"
        assert {k: v for k, v in os.environ.items() if "AUTH" in k} == {k: v for k, v in before.items() if "AUTH" in k}
    assert len({*tokens}) == 2 and all(len(token) == 64 for token in tokens)


STRANGER = """
import sys
from ray._raylet import GcsClient
try:
    print(GcsClient(address=sys.argv[1]).internal_kv_keys(b"", None, timeout=5))
except Exception as error:
    print(type(error).__name__)
"""


@pytest.mark.slow
def test_a_stranger_who_reaches_the_ray_of_a_search_is_refused(monkeypatch, tmp_path):
    """In a process without its token, with the user's own or with none; who is let in runs code as the user."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    known = tmp_path / "token"
    known.write_text("0" * 64)
    with ray_session(Resources()):
        address = ray.get_runtime_context().gcs_address
        ours = {name: os.environ[name] for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
        bare = {name: value for name, value in os.environ.items() if "RAY_AUTH" not in name}
        others = ({}, {"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(known)})
        answers = [
            subprocess.run(
                [sys.executable, "-c", STRANGER, address],
                env={**bare, "HOME": str(tmp_path), **variables},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for variables in (*others, ours)
        ]
    assert answers[:-1] == ["AuthenticationError\n"] * 3
    assert answers[-1].startswith("["), "with its token it answers"


def test_a_cluster_is_joined_with_the_token_that_the_user_has_for_it(asked, monkeypatch):
    listening(monkeypatch)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with ray_session(Resources(address="10.0.0.1:6379")):
        assert os.environ["RAY_AUTH_MODE"] == "disabled" and "RAY_AUTH_TOKEN" not in os.environ


def test_a_ray_that_is_up_already_is_used_and_left_up(asked, monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    with ray_session(Resources()):
        pass
    assert asked == []


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "nonsense", "localhost:port"])
def test_where_nobody_answers_one_line_says_so_at_once(asked, monkeypatch, address):
    # Ray would knock at the outer address for a loopback one; here nothing leaves the machine.
    monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", False)
    named = address.format(port=free_ports(1)[0])
    with pytest.raises(RunError, match=f"no Ray cluster answers at --address {named}: .+") as raised:
        with ray_session(Resources(address=named)):
            pass
    assert "\n" not in str(raised.value)
    assert asked == []


def test_a_cluster_that_refuses_is_told_with_where_the_token_goes(asked, monkeypatch):
    def refuse(**_):
        raise ConnectionError("Failed to connect to Ray cluster at 10.0.0.1:6379\nand more")

    listening(monkeypatch)
    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(RunError, match="Failed to connect.*RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH") as raised:
        with ray_session(Resources(address="10.0.0.1:6379")):
            pass
    assert "\n" not in str(raised.value)


def test_sigterm_stays_with_whoever_had_it(asked, monkeypatch, tmp_path):
    """``ray.init`` and ``ray.shutdown`` both take it; the search would end without a word to the ledger."""

    def ours(number, frame):
        raise AssertionError("not sent here")

    def take(**_):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        return SimpleNamespace(address_info={"session_dir": str(tmp_path)})

    monkeypatch.setattr(ray, "init", take)
    monkeypatch.setattr(ray, "shutdown", take)
    before = signal.signal(signal.SIGTERM, ours)
    try:
        with ray_session(Resources()):
            assert signal.getsignal(signal.SIGTERM) is ours
        assert signal.getsignal(signal.SIGTERM) is ours
    finally:
        signal.signal(signal.SIGTERM, before)
