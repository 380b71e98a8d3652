"""Lanes need torch and NumPy; a process that trains in them imports nothing slow beside."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

SCRIPT = """
import sys
import torch
from trainables.config import SCHEDULES, MlpConfig
from trainables.lanes import LaneWorker
from trainables.device_data import DeviceData

data = DeviceData(torch.randn(20, 3), torch.arange(20) % 2, torch.randn(8, 3), torch.arange(8) % 2, 2)
worker = LaneWorker(data, device=torch.device("cpu"), lanes=len(SCHEDULES), mode="stacked")
for number, schedule in enumerate(SCHEDULES):
    seat = worker.seat(number, MlpConfig(max_epochs=2, hidden=(4,), schedule=schedule, dropout=0.1), seed=0)
worker.advance()
seat.state()
SLOW = ("ray", "optuna", "pydantic", "sklearn", "mlflow", "pandas", "search", "spaces", "torch._dynamo", "sympy")
assert not [name for name in SLOW if name in sys.modules]
"""

OF_MODULES = """
import sys
import torch
from tests.trainables.lanes.modules.support import data, trial, worker
from tests.trainables.lanes.modules.zoo import norm_mlp

for mode in ("usual", "stacked", "looped"):
    lanes = worker(norm_mlp, data(), lanes=2, mode=mode)
    state = None
    for _ in range(2):
        seat = lanes.seat(0, trial(norm_mlp, 0, batch_size=8), seed=0, state=state)
        assert all(event.error is None for event in lanes.advance().values())
        state = seat.state()
        seat.retire()
    lanes.close()
SLOW = ("ray", "optuna", "mlflow", "torch._dynamo", "sympy")
assert not [name for name in SLOW if name in sys.modules]
"""


def test_training_in_lanes_imports_torch_and_numpy_alone() -> None:
    """``torch._dynamo`` alone would add a second to the start of a search."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_training_modules_imports_nothing_that_compiles() -> None:
    """In a stack, recorded and replayed, in a loop, measured, and taken up again from a state."""
    done = subprocess.run([sys.executable, "-c", OF_MODULES], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr
