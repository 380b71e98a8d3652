"""Which regularization generalises best: dropout, weight decay, L1, batch norm, and the schedule."""

from spaces import Space, category, float_, when
from spaces.schedule_parameters import PLATEAU, STEP, cosine_floor

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
        *STEP,
        cosine_floor("cosine"),
        *PLATEAU,
    )
)
