"""Which learning-rate schedule generalises best, and how long early stopping should wait."""

from search.declaration.parts import SchedulerSpec
from search.declaration.study import Study
from spaces.schedules import SPACE
from trainables.data.spec import DataSpec

STUDY = Study(
    kind="schedules",
    question="Which learning-rate schedule generalises best, and with which early-stopping patience?",
    trainable="mlp",
    data=DataSpec("digits"),
    space=SPACE,
    settings={
        "hidden": "64-32",
        "activation": "relu",
        "dropout": 0.2,
        "optimizer": "adamw",
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "batch_size": 64,
    },
    presets={"mnist": {"hidden": "256-128"}, "fashion_mnist": {"hidden": "256-128"}},
    # A schedule that begins slowly is behind at the first rungs: pruning there would answer another question.
    scheduler=SchedulerSpec(name="none"),
    shown=("schedule", "patience"),
    balanced="schedule",
)
