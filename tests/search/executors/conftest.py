"""One Ray for all searches of a test module, and a search's record read back from its ledger."""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import ray

from search.declaration.study import Study
from search.drive.engine import conduct
from search.drive.examples import load_data
from search.drive.result import Result
from search.face.live_view import Silent
from search.ledger import Ledger, SessionRow, TrialRow, sqlite_url
from spaces import Space, category, float_
from trainables.data import DataSpec

ROOT = Path(__file__).parents[3]
DATA = DataSpec("digits", train_examples=100)
SPACE = Space((float_("level", 0.1, 10.0, log=True, baseline=1.0),))
NO_SCHEDULER = {"name": "none", "grace": 1, "reduction_factor": 2}


@contextlib.contextmanager
def local_ray(**resources: float) -> Iterator[None]:
    """A Ray of this process's own; ``resources`` are what it believes to have."""
    handler = signal.getsignal(signal.SIGTERM)
    # Workers look for modules where the driver was when Ray started: tests.support is found from here.
    with contextlib.chdir(ROOT):
        ray.init(
            address="local",
            _node_ip_address="127.0.0.1",
            include_dashboard=False,
            logging_level=logging.ERROR,
            log_to_driver=False,
            **resources,
        )
    try:
        yield
    finally:
        ray.shutdown()
        signal.signal(signal.SIGTERM, handler)


@dataclass
class Recorded:
    """What a search left behind."""

    result: Result
    trials: list[TrialRow]
    epochs: pd.DataFrame
    decisions: pd.DataFrame
    events: pd.DataFrame
    sessions: list[SessionRow]

    def curve(self, number: int) -> list[float]:
        rows = self.epochs[self.epochs["number"] == number].sort_values("epoch")
        return rows["val_loss"].tolist()


def make_study(folder: Path, trainable: str = "Scripted", **values: object) -> Study:
    """Return a study of a scripted trainable, whose diary lies in ``folder``."""
    declared = {
        "kind": "scripted",
        "name": "here",
        "trainable": trainable if ":" in trainable else f"tests.support.scripted:{trainable}",
        "data": DATA,
        "space": SPACE,
        "settings": {"folder": str(folder)},
        "budget": {"trials": 6, "max_epochs": 3},
        "sampler": "random",
        "scheduler": NO_SCHEDULER,
        "executor": "tune",
        "tracking": {"enabled": False},
    }
    return Study.model_validate({**declared, **values})


def steady_study(
    folder: Path, *, epoch_s: float, trials: int, max_epochs: int, hold_after: int = 0, **values: object
) -> Study:
    """Return a study whose trials take their time, count it in ``folder`` and save after every epoch."""
    declared = {
        "settings": {"folder": str(folder), "epoch_s": epoch_s, "hold_after": hold_after},
        "budget": {"trials": trials, "max_epochs": max_epochs},
        "checkpoint_every_s": 0.0,
    }
    return make_study(folder, "tests.support.steady:Steady", **{**declared, **values})


def does(*choices: str) -> Space:
    """Return a space in which trials do one of ``choices``; the baseline does the first."""
    return Space((*SPACE, category("does", choices, baseline=choices[0])))


def record(study: Study, home: Path, **how: Any) -> Recorded:
    """Run ``study`` as the command line would, or with what ``conduct`` takes besides, and read its ledger."""
    result = conduct(study, home, load_data, view=Silent(), **how)
    with Ledger(sqlite_url(home / study.name / "ledger.db")) as ledger:
        study_id = ledger.study(study.name).id
        return Recorded(
            result,
            ledger.trials(study_id),
            ledger.epochs_frame(study_id),
            ledger.decisions_frame(study_id),
            ledger.events_frame(study_id),
            ledger.sessions(study_id),
        )
