"""Ray for one search: joined on a cluster, or started here and shut down at the end."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import ray
from ray._private import ray_constants, services
from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

from search.declaration.study import Resources
from search.errors import RunError
from search.executors.timing import Timing
from trainables.stage import stage

QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no CSV, JSON and TensorBoard files: the ledger has it all
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # signals are ours, see control.py
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # no snapshots of Tune's state: a resume reads the ledger
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # a trial may name modules of the folder the search was started in
    "TUNE_MAX_PENDING_TRIALS_PG": "100000",  # the limiter alone says how many trials there are at once
    "TUNE_WARN_THRESHOLD_S": "60",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a trial that raised has no metrics to report
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # the ledger has the traceback
}

AUTHENTICATION = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
"""The variables that say which token Ray asks for; a cluster of the user's is joined by what they say."""


@contextmanager
def ray_session(
    resources: Resources,
    *,
    connect_s: float = Timing.connect_s,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[None]:
    """Join the cluster at ``resources.address``, or start Ray on loopback and shut it down at the end.

    Args:
        resources: of the study.
        connect_s: how long the cluster may take to answer.
        say: prints one line for the user: Ray takes seconds to start.

    Raises:
        RunError: no cluster answers at the address, or Ray cannot be started.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
    if ray.is_initialized():  # by whoever called us, who also shuts it down
        yield
        return
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    where = "on this machine" if resources.address is None else f"at {resources.address}"
    starting = f"{'starting Ray' if resources.address is None else 'joining the Ray cluster'} {where}"
    say(f"{starting} ...")
    with ExitStack() as stack:
        if resources.address is not None:
            options["address"] = resources.address
            with stage(starting):
                _check_answers(resources.address, timeout_s=connect_s)
        else:
            # "local": never a cluster that happens to run on this machine. And never one for others to join: where
            # clusters are enabled, Ray turns 127.0.0.1 into the outer address, and listens on every interface.
            ray_constants.ENABLE_RAY_CLUSTER = False
            options |= {"address": "local", "_node_ip_address": "127.0.0.1", "include_dashboard": False}
            stack.enter_context(_token_of_our_own())
        try:
            with _own_sigterm(), stage(starting):
                session = ray.init(**options)
        except Exception as error:  # a node that does not come up is a bare Exception
            raise RunError(_why_not(resources.address, error)) from None
        try:
            if resources.address is None:
                # Ray gives everybody the right to write there, to replace its sockets, say, and to read its logs
                os.chmod(session.address_info["session_dir"], 0o700)
            yield
        finally:
            with _own_sigterm(), stage("letting go of Ray"):
                ray.shutdown()


@contextmanager
def _token_of_our_own() -> Iterator[None]:
    """Have the Ray that is started meanwhile ask whoever connects for a token that only its processes know.

    Loopback is open to every user of the machine, and who reaches Ray runs code as who started it. Ray's own token is
    in a file (``~/.ray/auth_token``) that it makes readable for all, and ``RAY_AUTH_MODE=disabled`` asks for none. This
    one is in the environment of the processes, which other users cannot read, and is gone with them.
    """
    before = {name: os.environ.pop(name, None) for name in AUTHENTICATION}
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    _read_authentication()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        _read_authentication()


def _read_authentication() -> None:
    """Have Ray read again what the environment says of its tokens: it does so once a process."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def _check_answers(address: str, *, timeout_s: float) -> None:
    """Knock at a cluster's door: Ray itself would try for minutes.

    Raises:
        RunError: nobody answers.
    """
    try:
        host, _, port = services.canonicalize_bootstrap_address(address).rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s):
            return
    except (OSError, ValueError) as error:
        raise RunError(f"no Ray cluster answers at --address {address}: {error}") from None


def _why_not(address: str | None, error: Exception) -> str:
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    if address is None:
        return f"Ray cannot be started on this machine: {line}"
    return (
        f"Ray cannot join --address {address}: {line}; "
        "where it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH=FILE"
    )


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Put our handler of SIGTERM back.

    ``ray.init`` sets one that aborts the process after three seconds, whatever is unsaved;
    ``ray.shutdown`` leaves none.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
