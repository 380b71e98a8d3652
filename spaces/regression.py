"""An MLP for a numeric target: which loss, how wide, how regularized, how fast."""

from spaces import Space, category, float_, when
from spaces.schedule_parameters import cosine_floor

SPACE = Space(
    (
        category("loss", ("mse", "mae", "huber"), baseline="mse", help="of the standardised target"),
        category(
            "hidden",
            ("16", "32", "64", "32-16", "64-32", "128-64"),
            baseline="64-32",
            help="widths of the hidden layers",
        ),
        float_("learning_rate", 3e-4, 3e-2, log=True, baseline=1e-3, help="AdamW step size"),
        float_("dropout", 0.0, 0.5, baseline=0.0, help="rate after each hidden layer"),
        float_("weight_decay", 1e-6, 1.0, log=True, baseline=0.0, help="L2, decoupled (AdamW)"),
        category("l1", ("off", "on"), baseline="off", help="L1 penalty on the weights"),
        float_("l1_penalty", 1e-6, 1e-2, log=True, baseline=1e-4, when=when("l1", "on"), help="its strength"),
        category("batch_norm", (False, True), baseline=False, help="after each hidden layer"),
        category("schedule", ("none", "cosine"), baseline="none", help="learning rate over epochs"),
        cosine_floor("cosine"),
    )
)
