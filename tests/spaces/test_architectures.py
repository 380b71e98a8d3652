from hypothesis import given

from spaces.architectures import SPACE
from tests.spaces.drawn import drawn_points
from trainables.config import CnnConfig, MlpConfig, parse_widths
from trainables.network_trainables import NetTrainable

OWN = {"mlp": {"hidden"}, "cnn": {"channels", "global_pool", "head"}}


def test_the_baseline_of_architectures_is_a_plain_mlp():
    assert SPACE.baseline == {
        "model": "mlp",
        "hidden": "64-32",
        "learning_rate": 1e-3,
        "batch_norm": False,
        "dropout": 0.0,
        "weight_decay": 0.0,
        "schedule": "none",
    }


def test_a_model_brings_its_own_parameters_and_no_others():
    everything = {p.name: p.baseline for p in SPACE}
    both = {name for names in OWN.values() for name in names}
    for model, own in OWN.items():
        assert set(SPACE.active({**everything, "model": model})) & both == own


@given(drawn_points(SPACE))
def test_every_point_of_architectures_is_a_valid_configuration(point):
    active = SPACE.validate(point)
    config = NetTrainable().configure(active, max_epochs=20)
    assert isinstance(config, CnnConfig) == (point["model"] == "cnn")
    if isinstance(config, CnnConfig):
        assert (config.channels, config.hidden) == (parse_widths(point["channels"]), parse_widths(point["head"]))
    else:
        assert isinstance(config, MlpConfig) and config.hidden == parse_widths(point["hidden"])
