"""Secrets in any text: messages of libraries, tracebacks, logs, what older Lanewises stored.

What is masked is told by its place: between a user's name and the host, behind the name of a parameter. The words of a
password are not looked for: one that is called ``search`` would take these from every sentence.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Any
from urllib.parse import unquote_plus

from search.credentials.address import DATABASES, masked_address
from search.credentials.keyring import known_addresses
from search.credentials.names import HIDDEN, is_secret

_SCHEME = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.\-]+):/{1,2}|(?<![\w:/.])//)(?!/)")
"""Begins an address: in a path that was made of one, with one slash; where it was cut at its colon, with two alone."""
_PARAMETER = re.compile(r"(?<=[?&;#])([^=\s?&;#\"'<>]+)=([^&;#\s\"'<>]*)")
_SETTING = re.compile(
    r"\b(\w*(?:passw(?:or)?d|passphrase|pwd))(\s*=\s*)('[^']*'|\"[^\"]*\"|[^\s&;,'\"]+)", re.IGNORECASE
)
_END = re.compile(r"[\s\"'<>]|$")
_AUTHORITY = re.compile(r"[^/?#\s\"'<>]*")
_DIGITS = re.compile(r"\d+(?!\w)")
_OF_A_SENTENCE = ":.,;!?)]}"
"""What may follow an address in a text, and is no part of it."""


def masked(text: str) -> str:
    """Return a text of any kind with ``***`` for the secrets of the addresses in it."""
    for address in known_addresses():
        text = text.replace(address, masked_address(address))
    if "/" in text:
        text = _without_userinfo(text)
    if "=" in text:
        text = _PARAMETER.sub(_parameter, text)
        text = _SETTING.sub(lambda found: f"{found[1]}{found[2]}{HIDDEN}", text)
    return text


def print_masked_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback to standard error without secrets; it may stand for ``sys.excepthook``."""
    print(masked("".join(traceback.format_exception(kind, error, trace))), file=sys.stderr, end="")


def masked_data(value: Any) -> Any:
    """Return plain data with ``masked`` applied to every text in it, and to whole addresses as such."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, Mapping):
        return {name: masked_data(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [masked_data(inner) for inner in value]
    return value


def _parameter(found: re.Match[str]) -> str:
    name, value = found.groups()
    return f"{name}={HIDDEN}" if is_secret(unquote_plus(name), value) else found[0]


def _without_userinfo(text: str) -> str:
    out, done = "", 0
    for scheme in _SCHEME.finditer(text):
        if scheme.end() >= done and (secret := _userinfo(text, scheme)) is not None:
            out += text[done : secret.start] + HIDDEN
            done = secret.stop
    return out + text[done:]


def _userinfo(text: str, scheme: re.Match[str]) -> slice | None:
    """Return where the secret of the address behind ``scheme`` stands; None where it has none.

    A database's password is one, a server's user, too, for tokens stand there. Where no password can be, a port say,
    but one is, it ends at the last @ that may be meant.
    """
    begin = scheme.end()
    authority = _AUTHORITY.match(text, begin)
    end = _END.search(text, begin)
    assert authority is not None and end is not None  # both match nothing
    colon, at = text.find(":", begin, authority.end()), text.rfind("@", begin, end.start())
    name = (scheme[1] or "").lower()
    is_database = "+" in name or name in DATABASES
    start = colon + 1 if is_database else begin
    if "@" in authority.group():
        return None if (is_database and not begin <= colon < at) or start == at else slice(start, at)
    written_out = text.startswith("://", begin - 3)
    if not written_out or authority.group().startswith("[") or not _ends_in_no_port(authority.group(), at - begin):
        return None
    if at < 0:  # a password with a blank or a quote, or one without a host
        line_end = text.find("\n", end.start())
        at = text.find("@", end.start(), len(text) if line_end < 0 else line_end)
    return slice(start, at if at >= 0 else end.start())


def _ends_in_no_port(authority: str, at: int) -> bool:
    """Say whether something but a port follows a colon: the beginning of a password with a / in it, say.

    Args:
        authority: of an address, without an @.
        at: where an @ follows behind it; below 0 where none does.
    """
    host = authority if at >= 0 else authority.rstrip(_OF_A_SENTENCE)
    _, colon, port = host.partition(":")
    return bool(colon) and not (port.isdecimal() or (at < 0 and _DIGITS.match(port)))
