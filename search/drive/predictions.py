"""What confirmed models predicted of each example, kept so that two of them can be compared on the same ones later."""

from __future__ import annotations

import os
from contextlib import suppress

import numpy as np

from search.executors.fits import FitDone
from search.ledger.paths import Paths

MOST_BYTES = 64 << 20
"""Bytes that the predictions of a study may take; what comes later is not kept."""


def keep_predictions(paths: Paths, fit: FitDone) -> None:
    """Write the predictions of a run to the study's folder, as far as there is room; the file appears whole.

    It is ``ROLE-HASH-PAIR.npz``: for each scored example ``target``, ``predicted`` and ``loss``, and with ``test_``
    those of the test part. That it cannot be written costs the file, and never the run.
    """
    if not fit.predictions:
        return
    folder = paths.predictions
    row = fit.row
    file = folder / f"{row.role.value}-{row.config_hash}-{row.split:03d}.npz"
    with suppress(OSError):
        folder.mkdir(exist_ok=True)
        held = sum(entry.stat().st_size for entry in os.scandir(folder))
        if held + sum(values.nbytes for values in fit.predictions.values()) > MOST_BYTES:
            return
        temporary = file.with_suffix(".tmp.npz")
        np.savez_compressed(temporary, allow_pickle=False, **fit.predictions)
        os.replace(temporary, file)
