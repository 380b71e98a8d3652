"""Which regularization generalises best for an MLP that overfits."""

from search.declaration.study import Study
from spaces.regularization import SPACE
from trainables.data.spec import DataSpec

STUDY = Study(
    kind="regularization",
    question="Which dropout, weight decay, L1 penalty, batch norm and LR schedule generalise best?",
    trainable="mlp",
    data=DataSpec("digits"),
    space=SPACE,
    settings={
        "hidden": "64-32",
        "activation": "relu",
        "optimizer": "adamw",
        "momentum": 0.9,
        "batch_size": 64,
        "patience": 0,
        "min_delta": 0.0,
    },
    presets={"mnist": {"hidden": "128-64"}, "fashion_mnist": {"hidden": "128-64"}},
)
