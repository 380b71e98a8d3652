"""What the tests of modules in lanes share."""

from functools import cache

from tests.trainables.lanes.cases import CPU, digits
from trainables.device_data import DeviceData
from trainables.lanes import LaneWorker
from trainables.lanes.modules.source import ModuleSource
from trainables.user_model import ModelTrainable

CORNERS = (
    {"dropout": 0.1, "sigma": 0.1, "momentum": 0.1, "learning_rate": 0.01, "weight_decay": 0.01},
    {"dropout": 0.35, "sigma": 0.22, "momentum": 0.2, "learning_rate": 0.003, "weight_decay": 0.02},
)


class Given(ModelTrainable):
    """A model whose function is given, not found by its name."""

    def __init__(self, function):
        super().__init__("tests.trainables.lanes.modules.zoo:norm_mlp")
        self._given = function

    def function(self):
        return self._given


@cache
def data():
    found = digits(129, 40)
    images = (part.reshape(-1, 1, 8, 8) for part in (found.x_train, found.x_val))
    x, x_val = images
    return DeviceData(x, found.y_train, x_val, found.y_val, found.outputs)


def configured(model, params):
    return Given(model).configure({"batch_size": 64, **params}, max_epochs=20)


def trial(model, number, **more):
    """Return a configuration whose floats and rates differ from those of other numbers."""
    params = {"dropout": 0.1 + 0.07 * (number % 5), "sigma": 0.1 + 0.01 * number, "momentum": 0.05 + 0.01 * number}
    return configured(
        model, params | {"learning_rate": 1e-3 * (1 + number % 3), "weight_decay": 0.01 + 0.01 * number} | more
    )


def worker(model, examples, *, lanes=8, mode="stacked", threads=1, corners=(), drawn=(), **facts):
    given = Given(model)
    return LaneWorker(
        examples,
        device=CPU,
        lanes=lanes,
        mode=mode,
        threads=threads,
        start=given.start,
        modules=ModuleSource(given, tuple(corners), tuple(drawn)),
        **facts,
    )
