"""Which parameters of an address hold a secret, by their names."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

HIDDEN = "***"
"""Stands where a secret stood."""

_SECRET_NAME = re.compile(
    r"passw|passphrase|pwd|secret|token|credential|signature|bearer|authorization|odbc_connect"
    r"|(^|[^a-z])(pass|sig|sas|auth)$|(api|access|account|private|session|shared|encryption)[_-]?key",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(r"(passw(or)?d|pwd|secret|token|key)\s*=", re.IGNORECASE)


def is_secret(name: str, value: str = "") -> bool:
    """Say whether the parameter ``name`` of a query holds a secret, or settings in its value do.

    Args:
        name: percent-encoded or not; ``sslkey`` and ``passfile`` are files, and no secrets.
        value: as it stands in the address.
    """
    return bool(_SECRET_NAME.search(unquote_plus(name)) or _SECRET_VALUE.search(unquote_plus(value)))
