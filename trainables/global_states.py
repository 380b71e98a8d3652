"""Where a process's global random generators are, so that a draw from one of them shows."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import torch

States: TypeAlias = "dict[str, int]"
"""The states of the global generators, by whose they are, each as a number that changes with it."""


def global_states(device: torch.device) -> States:
    """Return where the generators of torch (that of ``device`` too, where it is a GPU), NumPy and ``random`` are."""
    import numpy as np
    import torch

    found = torch.get_rng_state().numpy().tobytes()
    if device.type == "cuda":
        found += torch.cuda.get_rng_state(device).numpy().tobytes()
    numpy: Any = np.random.get_state(legacy=False)["state"]
    drawn = hash((numpy["key"].tobytes(), numpy["pos"]))
    return {"torch": hash(found), "NumPy": drawn, "random": hash(random.getstate())}
