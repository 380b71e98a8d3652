"""What may be stacked passes the check against the plain loop; what hides a difference is refused, or no group."""

import inspect

import pytest

from tests.trainables.lanes.cases import CPU
from tests.trainables.lanes.modules.architectures import ARCHITECTURES
from tests.trainables.lanes.modules.hostile import DIFFERING, REFUSED, SEPARATE, Branch, RaisesInStack
from tests.trainables.lanes.modules.support import CORNERS, Given, configured, data
from tests.trainables.lanes.modules.zoo import ZOO
from trainables.lanes.modules.check import why_looped
from trainables.lanes.modules.form import form_of

STACKED = ZOO | ARCHITECTURES


def form(model, params):
    return form_of(Given(model).module_of(configured(model, params), data(), seed=0, device=data().x_train.device))


@pytest.mark.parametrize("name", STACKED)
def test_a_users_model_is_stacked_whatever_floats_differ(name):
    model = STACKED[name]
    assert form(model, CORNERS[0]).digest == form(model, CORNERS[1]).digest
    assert why_looped(Given(model), [configured(model, corner) for corner in CORNERS], data()) == ""


@pytest.mark.parametrize("model", REFUSED)
def test_what_lanes_cannot_do_at_once_is_told(model):
    assert why_looped(Given(model), [configured(model, CORNERS[0])] * 2, data()).startswith(REFUSED[model])


def test_the_users_line_is_named_that_a_stack_cannot_do():
    for model in (Branch, RaisesInStack):
        lines, first = inspect.getsourcelines(model.between)
        wrong = next(i for i, line in enumerate(lines, first) if " if " in line or "raise" in line)
        wrong += model is RaisesInStack
        reason = why_looped(Given(model), [configured(model, CORNERS[0])] * 2, data())
        assert reason.endswith(f"(hostile.py, line {wrong})")


@pytest.mark.parametrize("model", SEPARATE)
def test_what_differs_elsewhere_than_in_a_float_of_an_attribute_makes_another_group(model):
    assert form(model, CORNERS[0]).digest != form(model, CORNERS[1]).digest
    assert form(model, CORNERS[0]).digest == form(model, CORNERS[0]).digest


@pytest.mark.parametrize("model", DIFFERING)
def test_a_float_that_differs_is_used_rightly_or_refused(model):
    """The check compares with the plain loop: that it passes says that the numbers are right."""
    reason = why_looped(Given(model), [configured(model, corner) for corner in CORNERS], data())
    assert (reason == "") == (model.__name__ in ("InTensor", "InFull", "Clamped", "InList", "InSum"))
    assert why_looped(Given(model), [configured(model, CORNERS[0])] * 2, data()) == ""


def test_a_parameter_with_a_hook_is_of_another_group_than_one_without():
    plain = Given(ZOO["norm_mlp"]).module_of(configured(ZOO["norm_mlp"], CORNERS[0]), data(), seed=0, device=CPU)
    before = form_of(plain).digest
    next(plain.parameters()).register_hook(lambda gradient: gradient)
    assert form_of(plain).digest != before


def test_dropout_that_is_on_in_some_is_another_group():
    on, off = (form(ZOO["norm_mlp"], CORNERS[0] | {"dropout": p}) for p in (0.2, 0.0))
    assert on.digest != off.digest
