"""The credentials that this process was given with addresses: in its memory alone, for use."""

from __future__ import annotations

from search.credentials.address import read_address

_GIVEN: dict[str, str] = {}
"""By the bare address: the whole one, as it was given last."""


def take_out(uri: str) -> str:
    """Return an address without its credentials, which ``put_back`` knows from now on, here and in no other process.

    Raises:
        UnreadableAddress: it is malformed, or it cannot be told where its password ends.
    """
    bare = read_address(uri).bare
    if bare != uri:
        _GIVEN[bare] = uri
    return bare


def put_back(uri: str) -> str:
    """Return an address for use, with the credentials that it was given with; without any, as it is."""
    return _GIVEN.get(uri, uri)


def were_given(uri: str) -> bool:
    """Say whether credentials were given with an address whose bare form this is."""
    return uri in _GIVEN


def known_addresses() -> tuple[str, ...]:
    """Return every address that holds credentials and was given to this process."""
    return tuple(_GIVEN.values())


def better_way(address: str) -> str:
    """Return in a few words where credentials of an address can be instead: the environment, a file of its client."""
    scheme = address.partition("://")[0].lower()
    if scheme.startswith("postgres"):
        return "use PGPASSWORD or ~/.pgpass"
    if scheme in ("http", "https"):
        return "use MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
    if scheme == "ray":
        return "use RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH=FILE"
    return "use its client's own file or variables"
