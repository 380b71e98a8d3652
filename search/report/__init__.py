"""Pure functions from ledger frames to tables and text."""
