"""One address with its credentials apart: the URL of a database, of a server, of a store of artifacts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from search.credentials.names import HIDDEN, is_secret

DATABASES = frozenset({"cockroachdb", "mariadb", "mssql", "mysql", "oracle", "postgres", "postgresql", "sqlite"})
"""The schemes that are read as SQLAlchemy reads them; so are those that name a driver (``postgresql+psycopg``)."""

ESCAPES = "in a user's name or a password, @ is written %40, / %2F, : %3A, ? %3F, # %23"
"""What to do with an address that can be read in more than one way."""


_WITHOUT_SCHEME = re.compile(r"(?!file:|sqlite:)([^@]*:[^@]*@|[\w.+-]{2,}:(?!\d*$|/))")
"""Begins a text that is meant as an address, with a user's name and a password in it, but has no ``://``."""


class UnreadableAddress(ValueError):
    """An address that cannot be read, or in more than one way; the text quotes nothing of it."""


@dataclass(frozen=True)
class Address:
    """An address, and what of it is secret.

    Attributes:
        bare: without its credentials, else as it was written: what is stored, sent and printed. A database's keeps the
            user's name, which tells with the password's absence who is asked for one; a server's does not, for tokens
            stand there.
        masked: with ``***`` for each secret.
        username, password: a server's, decoded; None where there is none.
    """

    bare: str
    masked: str
    username: str | None = None
    password: str | None = None


def read_address(uri: str) -> Address:
    """Take an address apart.

    Raises:
        UnreadableAddress: it is malformed, or it cannot be told where its password ends.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        if _WITHOUT_SCHEME.match(uri) or _query_of(uri) != uri:
            raise UnreadableAddress("has no scheme, such as http://")
        return Address(uri, uri)  # a word or a path
    if "+" in scheme or scheme.lower() in DATABASES:
        return _database(uri)
    return _server(uri, scheme, rest)


def masked_address(uri: str) -> str:
    """Return an address with ``***`` for its secrets; of one that cannot be read, little more than its scheme."""
    try:
        return read_address(uri).masked
    except UnreadableAddress:
        begin = re.match(r"[A-Za-z][\w+.-]*(://|[:=/])", uri)
        return f"{begin.group() if begin else ''}{HIDDEN}"


def bare_address(uri: str) -> str:
    """Return an address without its credentials; one that cannot be read as ``masked_address`` does."""
    try:
        return read_address(uri).bare
    except UnreadableAddress:
        return masked_address(uri)


def has_secret_in_query(uri: str) -> bool:
    """Say whether a parameter of a server's address holds a password or a token."""
    return _query_of(uri) != uri


def _database(uri: str) -> Address:
    # here, so that a command line is masked before anything large is imported
    from sqlalchemy.engine import URL, make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(uri)
    except (ArgumentError, ValueError):  # the latter of a port, which quotes it
        raise UnreadableAddress(f"is no database URL; {ESCAPES}") from None
    ambiguous = url.password is not None and uri.partition("?")[0].count("@") > 1
    if "@" in (url.host or "") or ambiguous:
        raise UnreadableAddress(f"has more than one @; {ESCAPES}")
    secret = {name for name, value in url.query.items() if is_secret(name, str(value))}
    if url.password is None and not secret:
        return Address(uri, uri)
    kept = {name: value for name, value in url.query.items() if name not in secret}
    bare = URL.create(url.drivername, url.username, None, url.host, url.port, url.database, kept)
    shown = "&".join(f"{name}={HIDDEN}" for name in sorted(secret))
    masked = bare.set(password=HIDDEN) if url.password is not None else bare
    text = masked.render_as_string()
    return Address(bare.render_as_string(), f"{text}{'&' if kept else '?'}{shown}" if secret else text)


def _server(uri: str, scheme: str, rest: str) -> Address:
    try:
        parts = urlsplit(uri)
        _ = parts.port  # is checked when it is asked for
    except ValueError:  # its text quotes what stands there
        raise UnreadableAddress(f"is no address of a server; {ESCAPES}") from None
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    userinfo, at, host = authority.rpartition("@")
    if authority and not at and "@" in rest or at and not host:
        raise UnreadableAddress(f"has an @ that ends no name of a user; {ESCAPES}")
    behind = rest[len(authority) :]
    if not at:
        return Address(f"{scheme}://{authority}{_query_of(behind, None)}", f"{scheme}://{authority}{_query_of(behind)}")
    user, colon, password = userinfo.partition(":")
    return Address(
        bare=f"{scheme}://{host}{_query_of(behind, None)}",
        masked=f"{scheme}://{HIDDEN}@{host}{_query_of(behind)}",
        username=unquote(user),
        password=unquote(password) if colon else None,
    )


def _query_of(text: str, stand_in: str | None = HIDDEN) -> str:
    """Return a text that may have a query or a fragment with the secrets of these replaced; None leaves them out."""
    pieces = re.split(r"([?&;#])", text)  # what is split at stays, at odd places
    out = pieces[0]
    for mark, part in zip(pieces[1::2], pieces[2::2], strict=True):
        name, equals, value = part.partition("=")
        if not equals or not is_secret(name, value):
            out += mark + part
        elif stand_in is not None:
            out += f"{mark}{name}={stand_in}"
        elif mark in "?#":
            out += mark
    return out.replace("?&", "?").rstrip("?#") if stand_in is None else out
