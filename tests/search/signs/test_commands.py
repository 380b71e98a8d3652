"""The real commands, with stages made slow: each is named while it lasts, and a signal in it ends with one line."""

import os
import re
import signal
import subprocess
import sys

import pytest

from tests.search.signs.test_stopping import QUICK

SLOW = """
import time
import numpy as np
from torch import nn

x = np.random.default_rng(0).normal(size=(90, 4)).astype("float32")
y = (x[:, 0] > 0).astype(int)

def data():
    time.sleep(1.5)
    return (x[:60], y[:60]), (x[60:], y[60:])

class Slow(nn.Linear):
    def forward(self, x):
        time.sleep(0.6)
        return super().forward(x.flatten(1))

def model(params, input_shape, outputs):
    return Slow(int(np.prod(input_shape)), outputs)
"""


def command(folder, *arguments):
    (folder / "slow.py").write_text(SLOW)
    given = ("--home", "home", "--tracking", "offline", "--no-confirm", "--trials", "2", "--max-epochs", "2")
    return subprocess.Popen(
        [sys.executable, "-m", "search.run", "regularization", "--name", "it", *given, *arguments],
        cwd=folder,
        env={**os.environ, **QUICK, "LANEWISE_STOP_GRACE_S": "5"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stages_said(text):
    """Return what was said to be done, in order, each once."""
    lines = [line.removeprefix("still ") for line in text.splitlines() if line.startswith("still ")]
    return list(dict.fromkeys(re.sub(r"(: \d+ s.*)?$", "", line) for line in lines))


def test_every_slow_stage_of_a_search_is_named_on_standard_error_in_its_order(tmp_path):
    process = command(tmp_path, "--data", "python:slow:data", "--json")
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert output.startswith("{") and "still" not in output
    said = stages_said(errors)
    assert said[:2] == ["starting", "calling data slow:data"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_the_data_are_made_leaves_a_line_and_nothing_else(tmp_path, number, code):
    lines = []
    with command(tmp_path, "--data", "python:slow:data") as process:
        for line in process.stderr:
            lines.append(line)
            if line.startswith("still calling data"):
                process.send_signal(number)
    assert process.returncode == code
    said = "stopped while calling data slow:data; nothing was recorded, and the same command begins anew\n"
    assert lines[-1] == said and not any("Traceback" in line for line in lines)
    assert not (tmp_path / "home").exists()


def test_trying_out_a_slow_model_is_named(tmp_path):
    process = command(tmp_path, "--data", "digits", "--model", "slow:model", "--dry-run")
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "trying out model:slow:model on the data" in stages_said(errors)
    assert "trainable  model:slow:model" in output
