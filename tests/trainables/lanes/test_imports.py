"""Lanes need torch and NumPy; a process that trains in them imports nothing slow beside."""

import subprocess
import sys

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
for name in ("ray", "optuna", "pydantic", "sklearn", "mlflow", "pandas", "search", "spaces", "torch._dynamo"):
    assert name not in sys.modules, name
"""


def test_training_in_lanes_imports_torch_and_numpy_alone() -> None:
    """``torch._dynamo`` alone would add a second to the start of a search."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
