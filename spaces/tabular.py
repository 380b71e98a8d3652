"""An MLP for a small table: how wide, how deep, how regularized, how fast."""

from spaces import Space, category, float_
from spaces.schedule_parameters import cosine_floor

SPACE = Space(
    (
        category(
            "hidden",
            ("16", "32", "64", "128", "32-16", "64-32", "128-64", "64-64-32"),
            baseline="64-32",
            help="widths of the hidden layers",
        ),
        category("activation", ("relu", "tanh", "gelu", "silu"), baseline="relu", help="of the hidden layers"),
        float_("learning_rate", 3e-4, 3e-2, log=True, baseline=1e-3, help="AdamW step size"),
        float_("dropout", 0.0, 0.5, baseline=0.0, help="rate after each hidden layer"),
        float_("weight_decay", 1e-6, 1e-1, log=True, baseline=0.0, help="L2, decoupled (AdamW)"),
        category("batch_norm", (False, True), baseline=False, help="after each hidden layer"),
        category("batch_size", (8, 16, 32), baseline=16, help="examples a step"),
        category("schedule", ("none", "cosine"), baseline="none", help="learning rate over epochs"),
        cosine_floor("cosine"),
    )
)
