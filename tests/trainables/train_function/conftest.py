import pytest

from tests.trainables import train_functions
from tests.trainables.conftest import CPU
from trainables.train_function.config import FunctionConfig, FunctionData
from trainables.train_function.run import FunctionRun


def run_of(function, *, params=None, max_epochs=5, required=("val_loss",), seed=1, number=0, folder=None):
    function = getattr(train_functions, function) if isinstance(function, str) else function
    config, data = FunctionConfig(params or {}, max_epochs), FunctionData(None, required)
    run = FunctionRun("tests.trainables.train_functions:f", function, config, data, seed=seed, device=CPU)
    if folder is not None:
        run.identify(number, folder)
    return run


@pytest.fixture
def make():
    """Return what makes a run of a function, by its name here or the function itself; all are closed at the end."""
    runs = []

    def make_one(function, **how):
        runs.append(run_of(function, **how))
        return runs[-1]

    yield make_one
    for run in runs:
        run.close()
