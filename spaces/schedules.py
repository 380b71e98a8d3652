"""How the learning rate should move over the epochs, and how long to wait for an improvement."""

from spaces import Space, category, float_, int_, when
from spaces.schedule_parameters import PLATEAU, STEP, cosine_floor

SPACE = Space(
    (
        float_("learning_rate", 1e-4, 1e-1, log=True, baseline=1e-3, help="AdamW step size; the highest, if it rises"),
        category(
            "schedule",
            ("none", "step", "cosine", "plateau", "one_cycle", "warmup_cosine"),
            baseline="none",
            help="learning rate over epochs",
        ),
        *STEP,
        cosine_floor("cosine", "warmup_cosine", help="last rate / highest rate"),
        *PLATEAU,
        float_(
            "one_cycle_peak",
            0.1,
            0.5,
            baseline=0.3,
            when=when("schedule", "one_cycle"),
            help="share of the epochs up to the highest rate",
        ),
        float_(
            "one_cycle_div",
            3.0,
            50.0,
            log=True,
            baseline=25.0,
            when=when("schedule", "one_cycle"),
            help="highest rate / first rate",
        ),
        float_(
            "one_cycle_final_div",
            1.0,
            1e4,
            log=True,
            baseline=1e4,
            when=when("schedule", "one_cycle"),
            help="first rate / last rate",
        ),
        int_("warmup_epochs", 1, 5, baseline=3, when=when("schedule", "warmup_cosine"), help="epochs of rising"),
        float_(
            "warmup_start",
            0.01,
            0.5,
            log=True,
            baseline=0.1,
            when=when("schedule", "warmup_cosine"),
            help="first rate / highest rate",
        ),
        category("patience", (0, 3, 5, 10), baseline=0, help="epochs without gain that end a trial; 0: none do"),
        float_(
            "min_delta",
            1e-5,
            1e-2,
            log=True,
            baseline=1e-4,
            when=when("patience", 3, 5, 10),
            help="what counts as a gain of the validation loss",
        ),
    )
)
