"""Which kind of model suits a problem: scikit-learn's estimators and our MLP, tuned with equal budgets."""

from search.declaration.parts import SchedulerSpec
from search.declaration.study import Budget, Objective, Study
from spaces.sklearn_comparison import SPACE
from trainables.data.spec import DataSpec

STUDY = Study(
    kind="sklearn_comparison",
    question="Is an MLP worth it beside scikit-learn's estimators, each tuned with an equal budget?",
    trainable="estimator",
    data=DataSpec("wine"),
    space=SPACE,
    settings={
        "activation": "relu",
        "optimizer": "adamw",
        "momentum": 0.9,
        "batch_size": 16,
        "patience": 0,
        "min_delta": 0.0,
    },
    objective=Objective(metric="val_accuracy", mode="max"),
    budget=Budget(trials=70, max_epochs=60),
    # Most models report once: there is nothing to stop early, and an MLP that was stopped had less than its share.
    scheduler=SchedulerSpec(name="none"),
    shown=("model",),
    balanced="model",
    refits=5,
)
