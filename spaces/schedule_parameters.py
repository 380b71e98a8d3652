"""The parameters of the learning-rate schedules, for every space that searches one."""

from spaces import Parameter, float_, int_, when

STEP = (
    int_("step_size", 2, 10, baseline=5, when=when("schedule", "step"), help="epochs between drops"),
    float_("step_gamma", 0.1, 0.9, baseline=0.5, when=when("schedule", "step"), help="factor of a drop"),
)

PLATEAU = (
    float_("plateau_factor", 0.1, 0.8, baseline=0.5, when=when("schedule", "plateau"), help="factor of a drop"),
    int_("plateau_patience", 1, 5, baseline=2, when=when("schedule", "plateau"), help="epochs without gain"),
)


def cosine_floor(*schedules: str, help: str = "last rate / first rate") -> Parameter:
    """Return how far the rate falls, for those of ``schedules`` that follow a cosine."""
    return float_("cosine_floor", 1e-3, 0.3, log=True, baseline=0.01, when=when("schedule", *schedules), help=help)
