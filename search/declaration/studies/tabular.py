"""Which MLP suits a small table."""

from search.declaration.study import Budget, Study
from spaces.tabular import SPACE
from trainables.data.spec import DataSpec

STUDY = Study(
    kind="tabular",
    question="Which widths, depth, activation, dropout, weight decay and rate suit an MLP for a small table?",
    trainable="mlp",
    data=DataSpec("wine"),
    space=SPACE,
    settings={"optimizer": "adamw", "momentum": 0.9, "patience": 0, "min_delta": 0.0},
    budget=Budget(trials=64, max_epochs=60),
)
