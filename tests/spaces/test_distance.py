"""How far apart points are, and moving one towards another a parameter at a time."""

from spaces import Space, category, differing, distance, float_, when, with_one_of

SPACE = Space(
    (
        float_("rate", 1e-4, 1e-1, log=True, baseline=1e-3),
        float_("dropout", 0.0, 0.5, baseline=0.0),
        category("schedule", ("none", "step"), baseline="none"),
        float_("gamma", 0.1, 0.9, baseline=0.5, when=when("schedule", "step")),
    )
)
BASE = SPACE.baseline
FOUND = {"rate": 1e-2, "dropout": 0.0, "schedule": "step", "gamma": 0.3}


def test_a_conditional_parameter_goes_with_its_parent():
    assert differing(SPACE, FOUND, BASE) == ["rate", "schedule"]
    assert with_one_of(SPACE, FOUND, BASE, "schedule") == {"rate": 1e-2, "dropout": 0.0, "schedule": "none"}
    assert with_one_of(SPACE, BASE, FOUND, "schedule") == {**BASE, "schedule": "step", "gamma": 0.3}
    assert with_one_of(SPACE, FOUND, BASE, "rate") == {**FOUND, "rate": 1e-3}


def test_one_that_is_active_in_both_is_a_parameter_of_its_own():
    other = {**FOUND, "gamma": 0.8}
    assert differing(SPACE, FOUND, other) == ["gamma"]
    assert with_one_of(SPACE, FOUND, other, "gamma") == other


def test_fewer_parameters_that_differ_are_nearer_whatever_their_values():
    far, near = {**BASE, "rate": 1e-1}, {**BASE, "rate": 1.1e-3, "dropout": 0.01}
    assert distance(SPACE, far, BASE) < distance(SPACE, near, BASE)
    assert distance(SPACE, BASE, BASE) == (0, 0.0)


def test_log_ranges_count_by_their_logs():
    count, apart = distance(SPACE, {**BASE, "rate": 1e-2}, BASE)
    assert (count, round(apart, 6)) == (1, round(1 / 3, 6))
