"""Whether MLflow is there before a search starts, and what a user can do where it is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from search.declaration.study import Study
from search.errors import RunError
from search.ledger.paths import Paths
from search.ledger.printed_commands import sync_command
from search.tracking.process import TrackerProcess, check_server, unanswered


def store_of(study: Study, paths: Paths, uri: str | None = None) -> tuple[str, Path | None]:
    """Return the URI of the store that a study's runs go to, and the folder of its artifacts where that is ours to say.

    Args:
        study: says where its runs go, if not to its home.
        paths: of the study.
        uri: another store in its place.
    """
    return store_at(uri or study.tracking.uri, paths)


def store_at(uri: str | None, paths: Paths) -> tuple[str, Path | None]:
    """Return the store that a tracking URI names, None that of the home; see ``store_of``."""
    uri = uri or paths.mlflow_uri
    return uri, paths.mlflow_artifacts if uri.startswith(("sqlite:", "sqlite+")) else None


def refuse_useless_store(tracker: TrackerProcess, study: Study, *, otherwise: str) -> None:
    """Wait for what came of trying the store of a study that names one.

    Args:
        tracker: was asked to try it.
        study: names the store.
        otherwise: what the user can do besides mending it.

    Raises:
        RunError: nothing can be written to it, or read back.
    """
    if (reason := tracker.tried()) is not None:
        raise RunError(f"MLflow at {study.tracking.uri} is of no use ({reason}); mend it, or {otherwise}")


def check_tracking(
    study: Study, paths: Paths, say: Callable[[str], None], *, otherwise: str, untracked_ok: bool = False
) -> None:
    """Ask the MLflow server, if the study has one, whether it is there before anything starts.

    Args:
        study: says where the server is, and whether to search without it.
        paths: where the study lies.
        say: is told where the server does not answer and the search runs all the same.
        otherwise: what the user can do besides starting the server.
        untracked_ok: search without the server, whatever the study says.

    Raises:
        RunError: the server does not answer.
    """
    uri, _ = store_of(study, paths)
    if not study.tracking.enabled:
        return
    if not (study.tracking.untracked_ok or untracked_ok):
        check_server(uri, otherwise=otherwise)
    elif (reason := unanswered(uri)) is not None:
        say(
            f"the MLflow server at {uri} does not answer ({reason}); searching all the same (--untracked-ok): "
            f"the runs are sent when it does, or later by: {sync_command(paths, study.tracking.uri)}"
        )
