"""A training function on Lightning's own Trainer, stepped as the executors step it."""

import pytest

from trainables import checkpoint
from trainables.errors import ConfigError
from trainables.report import MAX_EPOCHS

functions = pytest.importorskip("tests.integrations.lightning_functions", reason="without Lightning")

pytestmark = [  # Lightning 2.6 on a torch that is newer than it; what it advises about loaders' workers
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:The number of training batches"),
]


def steps(run, epochs):
    return [run.step().metrics for _ in range(epochs)]


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_trainer_goes_on_from_a_checkpoint_bit_for_bit(make, tmp_path):
    undisturbed = steps(make(functions.train, folder=tmp_path / "a"), 5)
    assert undisturbed[0].keys() == {"train_loss", "val_loss"}
    assert len({m["val_loss"] for m in undisturbed}) == 5
    run = make(functions.train, folder=tmp_path / "b")
    assert steps(run, 2) == undisturbed[:2]
    checkpoint.save(run.state_dict(), tmp_path / "state.pt")
    again = make(functions.train, folder=tmp_path / "c")
    again.load_state_dict(checkpoint.load(tmp_path / "state.pt"))
    assert steps(again, 3) == undisturbed[2:]
    assert steps(run, 3) == undisturbed[2:], "saving changes nothing"


def test_the_step_that_lightning_does_not_save_is_said(make, tmp_path):
    run = make(functions.train_on_plateau, folder=tmp_path / "a")
    steps(run, 2)
    again = make(functions.train_on_plateau, folder=tmp_path / "b")
    again.load_state_dict(run.state_dict())
    steps(again, 1)
    assert [notice.text for notice in again.take_notices()] == [
        "goes on without ReduceLROnPlateau's step of epoch 2, which Lightning saves no more"
    ]


def test_after_the_last_epoch_the_function_goes_on_behind_fit(make, tmp_path):
    run = make(functions.train_longer, folder=tmp_path / "a", max_epochs=2)
    assert [run.step().stop for _ in range(2)] == [None, MAX_EPOCHS]
    assert [notice.text for notice in run.take_notices()] == ["behind fit at epoch 2"]
    assert "net.0.weight" in run.full_weights()()["model"]


def test_a_pruned_trial_ends_the_trainer_and_the_function_without_a_word(make, tmp_path):
    run = make(functions.train, folder=tmp_path / "a")
    steps(run, 2)
    run.close()
    assert run.take_notices() == []


def test_metrics_are_chosen_and_renamed(make, tmp_path):
    report = make(functions.train_some, folder=tmp_path / "a").step()
    assert report.metrics.keys() == {"val_loss", "fit"}


def test_a_metric_that_was_not_logged_is_refused_with_the_nearest(make, tmp_path):
    with pytest.raises(ConfigError, match="val_los was not logged. Did you mean 'val_loss'"):
        make(functions.train_misnamed, folder=tmp_path / "a").step()


def test_a_trainer_that_is_not_given_the_checkpoint_is_refused(make, tmp_path):
    run = make(functions.train_longer, folder=tmp_path / "a")
    steps(run, 1)
    again = make(functions.train_longer, folder=tmp_path / "b")
    again.load_state_dict(run.state_dict())
    with pytest.raises(ConfigError, match=r"after epoch 1, and the trainer at epoch 0.*ckpt_path=callback.ckpt_path"):
        again.step()
