"""Passwords and tokens that an older Lanewise stored with the addresses they were given in.

No row is read with them (``rows``). They leave the database itself where a search writes to it. The tables do not
change by that, so it is no migration: a ledger that an older Lanewise writes to as well is cleaned again each time.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from search.credentials import masked, masked_data
from search.ledger import schema
from search.ledger.events import CredentialsRemoved
from search.ledger.rows import bare_declaration

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from search.ledger.ledger import Ledger


def remove_credentials(ledger: Ledger) -> CredentialsRemoved | None:
    """Take the credentials out of every declaration, event and message of a ledger, in one transaction.

    Args:
        ledger: of the present version.

    Returns:
        What was done; None where there were none.

    Raises:
        StorageError: the database cannot be written.
    """
    with ledger.reading() as connection:
        changes = [change for table, column, clean in _TEXTS for change in _changes(connection, table, column, clean)]
    if not changes:
        return None
    with ledger.writing() as connection:
        ledger.overwrite_what_is_deleted(connection)
        for change in changes:
            connection.execute(change)
    ledger.empty_log()
    return CredentialsRemoved(texts=len(changes))


def _declaration(text: str) -> str:
    return _clean_json(text, bare_declaration)


def _event(text: str) -> str:
    return _clean_json(text, masked_data)


def _clean_json(text: str, clean: Callable[[Any], Any]) -> str:
    """Return a JSON text without credentials: as it is, to the letter, where it has none or is damaged."""
    try:
        data = json.loads(text)
        cleaned = clean(json.loads(text))
    except (ValueError, TypeError):
        return text
    return text if cleaned == data else json.dumps(cleaned)


_TEXTS: tuple[tuple[sa.Table, str, Callable[[str], str]], ...] = (
    (schema.studies, "declaration", _declaration),
    (schema.events, "data", _event),
    (schema.trials, "message", masked),
    (schema.trials, "traceback", masked),
)
"""Where credentials may be stored: a table, its column, and what returns a text of it without them."""


def _changes(connection: Connection, table: sa.Table, column: str, clean: Callable[[str], str]) -> list[sa.Update]:
    """Return the updates that take the credentials out of a column."""
    keys = list(table.primary_key.columns)
    query = sa.select(*keys, table.c[column]).where(table.c[column].like("%://%"))
    return [
        sa.update(table).where(*(key == value for key, value in zip(keys, key_of, strict=True))).values({column: after})
        for *key_of, before in connection.execute(query)
        if isinstance(before, str) and (after := clean(before)) != before
    ]
