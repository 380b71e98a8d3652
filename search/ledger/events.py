"""The kinds of events that a later session reads back."""

from __future__ import annotations

TRIED_ALONE = "tried_alone"
"""The kind of the event that says so; the ledger needs no other memory of it."""


def tried_text(number: int) -> str:
    """Return the message of the event that trial ``number`` is tried alone."""
    return f"trial {number} ran out of memory; it is tried once more, alone"
