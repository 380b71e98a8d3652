"""A stack of lanes that does not fit: its worker has fewer from then on, and no trial fails for it."""

import dataclasses
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from search.declaration.studies import find
from search.declaration.study import Study
from search.executors.lanes import LanesExecutor, open_pool
from search.ledger import Ledger, sqlite_url
from search.ledger.events import EventKind
from tests.search.executors.conftest import DATA, NO_SCHEDULER, make_study, record
from trainables.lanes import LaneWorker
from trainables.lanes.stack import Stack

ROOT = Path(__file__).parents[3]


def stacked_study(**values):
    changes = {
        "name": "here",
        "data": dataclasses.asdict(DATA),
        "budget": {"trials": 9, "max_epochs": 4},
        "scheduler": NO_SCHEDULER,
        "sampler": "random",
        "executor": "lanes",
        "lanes": {"lanes": 6},
        "tracking": {"enabled": False},
    }
    return Study.model_validate({**find("regularization").model_dump(), **changes, **values})


def halvings(recorded):
    return recorded.events[recorded.events["kind"] == EventKind.LANES_HALVED]["message"].tolist()


def in_stacks_of(make_stack):
    """Return an executor whose lanes, in this process, are in such stacks."""
    return LanesExecutor(open_pool=partial(open_pool, make_worker=partial(LaneWorker, make_stack=make_stack)))


@pytest.mark.parametrize("checkpoint_every_s", [0, 30])
def test_lanes_are_halved_until_they_fit_and_every_curve_is_as_it_was(tmp_path, checkpoint_every_s):
    plain = record(stacked_study(), tmp_path / "plain")
    calls = []

    class Large(Stack):
        def _train(self, batch, variant):
            calls.append(len(self.seated))
            if len(calls) > 6 and len(self.seated) > 2:  # the first epochs pass: there is something to go back to
                raise RuntimeError(
                    "[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you"
                )
            super()._train(batch, variant)

    study = stacked_study(checkpoint_every_s=checkpoint_every_s)
    recorded = record(study, tmp_path / "home", executor=in_stacks_of(Large))
    first, second = halvings(recorded)
    assert first.startswith("worker 0 ran out of memory with 6 trials at once (RuntimeError: [enforce fail")
    assert first.endswith("from now on it has 3 of 6 lanes; trials [0, 1, 2, 3, 4, 5] are queued again")
    assert "with 3 trials at once" in second and "from now on it has 1 of 3 lanes" in second
    assert [t.stop_reason for t in recorded.trials] == ["max_epochs"] * 9
    for trial in recorded.trials:
        assert recorded.curve(trial.number) == plain.curve(trial.number), "bit for bit, each epoch once"
    with Ledger(sqlite_url(tmp_path / "home" / "here" / "ledger.db")) as ledger:
        assert ledger.study("here").facts.lanes == 1, "a resume begins with as many"


def test_a_configuration_that_fits_nowhere_fails_alone(tmp_path):
    """One width in three is too large: each such trial has a stack of its own, and is tried once more, alone."""

    def build(blueprint, *args, **values):
        if blueprint.key.hidden == (33,):
            raise MemoryError("no room")
        return Stack(blueprint, *args, **values)

    space = find("regularization").space
    study = stacked_study(settings={**find("regularization").settings, "hidden": "8"}, space=space)
    recorded = record(with_widths(study, "8", "33"), tmp_path, executor=in_stacks_of(build))
    large = [t for t in recorded.trials if t.params["hidden"] == "33"]
    assert 0 < len(large) < 9
    assert {t.message for t in large} == {"MemoryError: no room; it was alone on the device"}
    assert {t.stop_reason for t in recorded.trials if t not in large} == {"max_epochs"}


def with_widths(study, *widths):
    from spaces import Space, category

    space = Space((*study.space, category("hidden", widths, baseline=widths[0])))
    settings = {k: v for k, v in study.settings.items() if k != "hidden"}
    return Study.model_validate({**study.model_dump(), "space": space, "settings": settings})


def test_a_lane_that_cannot_be_seated_fails_by_itself(tmp_path):
    study = make_study(tmp_path, "RefusesTheSecond", executor="lanes", lanes={"lanes": 3, "mode": "looped"})
    recorded = record(study, tmp_path / "home")
    assert [t.stop_reason for t in recorded.trials] == ["max_epochs", "error", *["max_epochs"] * 4]
    assert recorded.trials[1].message == "ValueError: no such layer"
    assert "raise ValueError" in recorded.trials[1].traceback


SEARCH = """
import json, resource, sys
from pathlib import Path
import torch
from search.drive.engine import conduct
from search.ledger import Ledger, sqlite_url
from search.drive.examples import load_data
from search.face.live_view import Silent
from search.declaration.study import Study

study = Study.model_validate(json.loads(sys.argv[1]))
home = Path(sys.argv[2])
import search.executors.lanes, trainables.lanes

def load(study):
    splits = load_data(study)
    torch.set_num_threads(1)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = used + (600 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return splits

result = conduct(study, home, load, view=Silent())
print(json.dumps(result.answer.states))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the size of a process is asked of Linux")
def test_where_memory_really_ends_the_lanes_that_fit_go_on(tmp_path):
    """Eight lanes of 4.3 million weights each take 700 MB and more; the process may take 600 beyond its libraries."""
    settings = {**find("regularization").settings, "hidden": "2048-2048"}
    study = stacked_study(lanes={"lanes": 8}, budget={"trials": 8, "max_epochs": 2}, settings=settings)
    command = [sys.executable, "-c", SEARCH, json.dumps(study.model_dump(mode="json")), str(tmp_path)]
    # what is freed goes back to the system at once: otherwise whether a tensor fits hangs on holes in the heap
    allocator = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
    done = subprocess.run(command, cwd=ROOT, env=allocator, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr
    with Ledger(sqlite_url(tmp_path / "here" / "ledger.db")) as ledger:
        row = ledger.study("here")
        messages = [row.message for row in ledger.events(row.id, EventKind.LANES_HALVED)]
        trials = ledger.trials(row.id)
    assert messages and messages[0].startswith("worker 0 ran out of memory with 8 trials at once (RuntimeError: ")
    assert [(t.stop_reason, t.message) for t in trials] == [("max_epochs", None)] * 8
    assert json.loads(done.stdout) == {"COMPLETE": 8}
