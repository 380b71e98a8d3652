"""Which loss and which MLP suit a numeric target."""

from search.declaration.study import Budget, Objective, Study
from spaces.regression import SPACE
from trainables.data.spec import DataSpec

STUDY = Study(
    kind="regression",
    question="Which loss, widths and regularization predict a number best?",
    trainable="mlp",
    data=DataSpec("diabetes"),
    space=SPACE,
    settings={
        "activation": "relu",
        "optimizer": "adamw",
        "momentum": 0.9,
        "batch_size": 32,
        "patience": 0,
        "min_delta": 0.0,
    },
    objective=Objective(metric="val_rmse", mode="min"),
    budget=Budget(trials=64, max_epochs=60),
)
