"""Whether convolutions are worth it, and how large a model has to be."""

from search.declaration.study import Budget, Objective, Study
from spaces.architectures import SPACE
from trainables.data.spec import DataSpec

LARGER = {
    "batch_size": 128,
    "hidden.choices": "32,64,128,64-32,128-64,256-128",
    "channels.choices": "8,16,8-16,16-32,8-16-32,16-32-64",
}
"""For images of 28x28: models of digits' smallest sizes would only fill the front's end."""

STUDY = Study(
    kind="architectures",
    question="Is an MLP or a CNN better, how deep and how wide, and what does a smaller model cost?",
    trainable="net",
    data=DataSpec("digits"),
    space=SPACE,
    settings={
        "activation": "relu",
        "optimizer": "adamw",
        "momentum": 0.9,
        "batch_size": 64,
        "patience": 0,
        "min_delta": 0.0,
    },
    objective=Objective(metric="val_loss"),
    further=(Objective(metric="parameters"),),
    presets={"mnist": LARGER, "fashion_mnist": LARGER},
    budget=Budget(trials=64, max_epochs=20),
)
