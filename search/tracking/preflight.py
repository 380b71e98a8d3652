"""Whether MLflow is there before a search starts, and what a user can do where it is not."""

from __future__ import annotations

from collections.abc import Callable

from search.declaration.study import Study
from search.ledger.paths import Paths
from search.ledger.printed_commands import sync_command
from search.tracking.process import check_server, unanswered


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
    uri = study.tracking.uri or paths.mlflow_uri
    if not study.tracking.enabled:
        return
    if not (study.tracking.untracked_ok or untracked_ok):
        check_server(uri, otherwise=otherwise)
    elif (reason := unanswered(uri)) is not None:
        say(
            f"the MLflow server at {uri} does not answer ({reason}); searching all the same (--untracked-ok): "
            f"the runs are sent when it does, or later by: {sync_command(paths, study.tracking.uri)}"
        )
