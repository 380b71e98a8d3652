"""Seeds from seeds; needs no torch, so that a driver can name a trial's seed without importing it."""

from __future__ import annotations

import hashlib


def derive(seed: int, *names: str | int) -> int:
    """Return a seed below 2**63 that depends on ``seed`` and the names, and on nothing else."""
    text = "/".join(str(n) for n in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
