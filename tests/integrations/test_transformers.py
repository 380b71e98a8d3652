"""A training function on Hugging Face's own Trainer, stepped as the executors step it."""

import pytest

from trainables import checkpoint
from trainables.errors import ConfigError
from trainables.report import MAX_EPOCHS

functions = pytest.importorskip("tests.integrations.transformers_functions", reason="without Transformers")


def steps(run, epochs):
    return [run.step().metrics for _ in range(epochs)]


@pytest.fixture
def make_one(make):
    return lambda function, **how: make(function, required=("eval_loss",), **how)


def test_a_trainer_goes_on_from_a_checkpoint_bit_for_bit(make_one, tmp_path):
    undisturbed = steps(make_one(functions.train, folder=tmp_path / "a"), 5)
    assert undisturbed[0].keys() == {"eval_loss"}
    assert len({m["eval_loss"] for m in undisturbed}) == 5
    run = make_one(functions.train, folder=tmp_path / "b")
    assert steps(run, 2) == undisturbed[:2]
    checkpoint.save(run.state_dict(), tmp_path / "state.pt")
    again = make_one(functions.train, folder=tmp_path / "c")
    again.load_state_dict(checkpoint.load(tmp_path / "state.pt"))
    assert steps(again, 3) == undisturbed[2:]
    assert steps(run, 3) == undisturbed[2:], "saving changes nothing"
    assert list((tmp_path / "c" / "trainer").iterdir()) == [], "what it was not asked to save is gone"


def test_its_own_checkpoints_stay_as_it_was_told(make, tmp_path):
    run = make(functions.train_saving, folder=tmp_path / "a")
    assert steps(run, 4)[0].keys() == {"val_loss"}
    assert sorted(path.name for path in (tmp_path / "a" / "trainer").iterdir()) == ["checkpoint-12", "checkpoint-9"]


def test_after_the_last_evaluation_the_function_goes_on_behind_train(make_one, tmp_path):
    run = make_one(functions.train_longer, folder=tmp_path / "a", max_epochs=2)
    assert [run.step().stop for _ in range(2)] == [None, MAX_EPOCHS]
    assert [notice.text for notice in run.take_notices()] == ["behind train at step 6"]
    assert "net.0.weight" in run.full_weights()()["model"]


def test_a_pruned_trial_ends_the_trainer_and_the_function_without_a_word(make_one, tmp_path):
    run = make_one(functions.train, folder=tmp_path / "a")
    steps(run, 2)
    run.close()
    assert run.take_notices() == []


def test_a_trainer_that_is_not_given_the_checkpoint_is_refused(make_one, tmp_path):
    run = make_one(functions.train_forgetting, folder=tmp_path / "a")
    steps(run, 1)
    again = make_one(functions.train_forgetting, folder=tmp_path / "b")
    again.load_state_dict(run.state_dict())
    with pytest.raises(ConfigError, match=r"after epoch 1, and the trainer begins anew.*resume_from_checkpoint="):
        again.step()


def test_a_trainer_that_saves_the_best_alone_is_refused(make_one, tmp_path):
    with pytest.raises(ConfigError, match="a whole checkpoint"):
        make_one(functions.train_saving_the_best, folder=tmp_path / "a").step()
