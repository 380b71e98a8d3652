"""How MLflow's client is given the credentials of a tracking URI: where it looks for them, not in the URI."""

from __future__ import annotations

import os

from search.credentials import put_back, read_address

USERNAME, PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"


def client_uri(uri: str) -> str:
    """Return the URI for MLflow's client in this process, which is given it and nobody else.

    A server's name of a user and password go to the variables that MLflow reads at each request, where they are part of
    no message. A database's password stays in its URL: nothing else tells MLflow of it. So does a server's user without
    a password, for whom MLflow makes no header.

    Args:
        uri: with credentials, or without those that this process was given before.
    """
    whole = put_back(uri)
    address = read_address(whole)
    if address.username is None or (address.password is None and not os.environ.get(PASSWORD)):
        return whole
    os.environ[USERNAME] = address.username
    if address.password is not None:
        os.environ[PASSWORD] = address.password
    return address.bare
