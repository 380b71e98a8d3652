"""Lanes of any module: which may share a stack, the stack itself, and what shows that it may be used."""
