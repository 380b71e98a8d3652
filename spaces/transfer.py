"""How deep to freeze a pretrained backbone, how fast to train the rest, how to regularize it."""

from spaces import Space, category, float_, int_
from spaces.schedule_parameters import cosine_floor

SPACE = Space(
    (
        category("init", ("pretrained",), baseline="scratch", help="the untuned model learns everything from scratch"),
        int_("freeze_depth", 0, 5, baseline=0, help="stages that are frozen, counted from the input"),
        float_("learning_rate", 3e-4, 1e-1, log=True, baseline=1e-3, help="AdamW step size of the head"),
        float_("stage_factor", 0.1, 1.0, log=True, baseline=1.0, help="a stage's rate over that of the one behind it"),
        float_("dropout", 0.0, 0.6, baseline=0.0, help="rate before the head"),
        float_("weight_decay", 1e-6, 1e-1, log=True, baseline=0.0, help="L2, decoupled (AdamW)"),
        float_("label_smoothing", 0.0, 0.2, baseline=0.0, help="share of the target spread over all classes"),
        category("schedule", ("none", "cosine"), baseline="none", help="learning rate over epochs"),
        cosine_floor("cosine"),
        category(
            "augmentation",
            ("none", "flip_crop", "trivial_augment"),
            baseline="none",
            help="of the training images, in a fixed number of views",
        ),
    )
)
