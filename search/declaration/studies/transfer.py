"""How deep to freeze a pretrained backbone, and what transfer is worth against training from scratch."""

from search.declaration.study import Budget, Objective, Study
from spaces.transfer import SPACE
from trainables.data.spec import DataSpec

STUDY = Study(
    kind="transfer",
    question="How many stages of a pretrained backbone to freeze, how fast to train the rest, and how regularized?",
    trainable="transfer",
    data=DataSpec("digits", pixels=True, half="second"),
    space=SPACE,
    settings={
        "backbone": "narrow_resnet",
        "weights": "auto",
        "source_data": "",
        "source_epochs": 30,
        "download": False,
        "input_size": 0,
        "views": 4,
        "feature_cache": "auto",
        "cache_mb": 1024.0,
        "optimizer": "adamw",
        "momentum": 0.9,
        "batch_size": 64,
        "patience": 0,
        "min_delta": 0.0,
    },
    objective=Objective(metric="val_loss"),
    curve="freeze_depth",
    balanced="freeze_depth",
    budget=Budget(trials=48, max_epochs=12),
)
