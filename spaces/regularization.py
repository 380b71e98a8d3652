"""Which regularization generalises best: dropout, weight decay, L1, batch norm, and the schedule."""

from spaces.space import Space, category, float_, int_, when

SPACE = Space(
    (
        float_("learning_rate", 1e-4, 1e-1, log=True, baseline=1e-3, help="AdamW step size"),
        float_("dropout", 0.0, 0.6, baseline=0.0, help="rate after each hidden layer"),
        float_("weight_decay", 1e-6, 1e-1, log=True, baseline=0.0, help="L2, decoupled (AdamW)"),
        category("l1", ("off", "on"), baseline="off", help="L1 penalty on the weights"),
        float_("l1_penalty", 1e-7, 1e-3, log=True, baseline=1e-5, when=when("l1", "on"), help="its strength"),
        category("batch_norm", (False, True), baseline=False, help="after each hidden layer"),
        category(
            "schedule",
            ("none", "step", "cosine", "plateau"),
            baseline="none",
            help="learning rate over epochs",
        ),
        int_("step_size", 2, 10, baseline=5, when=when("schedule", "step"), help="epochs between drops"),
        float_("step_gamma", 0.1, 0.9, baseline=0.5, when=when("schedule", "step"), help="factor of a drop"),
        float_(
            "cosine_floor",
            1e-3,
            0.3,
            log=True,
            baseline=0.01,
            when=when("schedule", "cosine"),
            help="last rate / first rate",
        ),
        float_(
            "plateau_factor",
            0.1,
            0.8,
            baseline=0.5,
            when=when("schedule", "plateau"),
            help="factor of a drop",
        ),
        int_("plateau_patience", 1, 5, baseline=2, when=when("schedule", "plateau"), help="epochs without gain"),
    )
)
