"""What a trainable makes before any trial starts, and how a signal ends that."""

import os
import signal

import pytest

from benchmarks.trivial import Trivial
from search.declaration.studies import find
from search.drive.examples import load_data
from search.drive.preparation import PreparationStopped, prepare_trainable
from search.errors import RunError
from trainables.errors import ConfigError


class Prepares(Trivial):
    """Has something to make: the signal that the class names, or a mistake, comes meanwhile."""

    comes: signal.Signals | None = None

    def prepare_once(self, config, splits, say):
        if self.comes is None:
            raise ConfigError("the weights are absent")
        os.kill(os.getpid(), self.comes)
        signal.pause()


class Interrupted(Prepares):
    comes = signal.SIGINT


class Terminated(Prepares):
    comes = signal.SIGTERM


def prepared(kind):
    study = find("regularization").model_copy(update={"trainable": f"{__name__}:{kind.__name__}"})
    return prepare_trainable(study, load_data(find("regularization")), say=lambda line: None)


@pytest.mark.parametrize(("kind", "code"), [(Interrupted, 130), (Terminated, 143)])
def test_a_signal_ends_the_preparation_with_one_line_and_the_exit_code_of_the_signal(kind, code):
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with pytest.raises(PreparationStopped, match="^stopped while preparing .*; what was learned") as caught:
        prepared(kind)
    assert caught.value.exit_code == code and len(caught.value.errors) == 1
    assert {number: signal.getsignal(number) for number in before} == before


def test_what_cannot_be_had_is_an_error_of_the_run():
    with pytest.raises(RunError, match="^the weights are absent$"):
        prepared(Prepares)
