"""The best epoch's model: remembered, written, taken up again, and rebuilt from its file alone."""

import dataclasses
import math
from functools import partial

import pytest
import torch

from tests.trainables.conftest import CPU
from trainables import checkpoint
from trainables.best import BestModels, load_model, trial_facts
from trainables.checkpoint_store import CheckpointStore
from trainables.config import MlpConfig
from trainables.data import DataSpec, load_splits
from trainables.device_data import DeviceData
from trainables.errors import CheckpointError, ConfigError
from trainables.loop import TrainingRun
from trainables.registry import find_trainable
from trainables.report import EpochReport
from trainables.weights_snapshot import detached_copy, snapshot_weights

PARAMS = {"hidden": "24-16", "learning_rate": 0.05, "dropout": 0.2, "batch_norm": True}
EPOCHS = 12
NUMBER = 12
MIN, MAX = ("val_loss", "min"), ("val_accuracy", "max")
FACTS = trial_facts(NUMBER, trainable="mlp", params=PARAMS, max_epochs=EPOCHS, seed=3, shape=(1, 8, 8), outputs=10)


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "checkpoints")


def start(data, *, epochs=0):
    run = TrainingRun(MlpConfig.from_params(PARAMS, max_epochs=EPOCHS), data, seed=3, device=CPU)
    return run, [run.step() for _ in range(epochs)]


def train(models, run, epochs):
    """Train and let the models hear of it; return the reports."""
    reports = []
    for _ in range(epochs):
        reports.append(run.step())
        models.observe(NUMBER, reports[-1], partial(snapshot_weights, run))
    return reports


def best_of(reports, metric, mode):
    values = [r.metrics[metric] for r in reports]
    value = min(values) if mode == "min" else max(values)
    return values.index(value) + 1, value


def assert_same(found, expected):
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def observe(models, epoch, value):
    models.observe(NUMBER, EpochReport(epoch, {"val_loss": value}, 0.1), lambda: lambda: {"epoch": epoch})


@pytest.mark.parametrize("objective", [MIN, MAX])
def test_the_file_holds_the_plain_loops_model_of_that_epoch_bit_for_bit(few_digits, store, objective):
    models = BestModels(store, objective)
    models.begin(NUMBER, FACTS)
    run, _ = start(few_digits)
    reports = train(models, run, EPOCHS)
    assert models.keep(NUMBER)() == []
    epoch, value = best_of(reports, *objective)
    assert 1 < epoch < EPOCHS, "the last is not the best, so that the two differ"
    state = checkpoint.load(store.best_path(NUMBER))
    model = state.pop("model")
    assert state == {
        **FACTS,
        "metric": objective[0],
        "epoch": epoch,
        "value": value,
        "metrics": dict(reports[epoch - 1].metrics),
    }
    stopped, _ = start(few_digits, epochs=epoch)
    assert_same(model, stopped.model.state_dict())
    assert any(not torch.equal(model[n], t) for n, t in run.model.state_dict().items())


def test_a_model_is_rebuilt_from_its_file_and_gives_the_loss_of_its_epoch(few_digits, store):
    models = BestModels(store, MIN)
    models.begin(NUMBER, FACTS)
    run, _ = start(few_digits)
    _, value = best_of(train(models, run, EPOCHS), *MIN)
    models.keep(NUMBER)()
    model = load_model(str(store.best_path(NUMBER)))
    assert not any(module.training for module in model.modules())
    with torch.no_grad():
        logits = model(few_digits.x_val)
    loss = torch.nn.functional.cross_entropy(logits, few_digits.y_val, reduction="sum").item() / len(few_digits.x_val)
    assert loss == value


@pytest.mark.parametrize("hidden", ["", "8", "16-8-4"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_best_model_of_any_number_of_layers_is_rebuilt(few_digits, store, hidden, batch_norm):
    params = {"hidden": tuple(int(h) for h in hidden.split("-") if h), "batch_norm": batch_norm}
    run = TrainingRun(MlpConfig.from_params(params, max_epochs=2), few_digits, seed=3, device=CPU)
    models = BestModels(store, MIN)
    models.begin(
        NUMBER, trial_facts(NUMBER, trainable="mlp", params=params, max_epochs=2, seed=3, shape=(1, 8, 8), outputs=10)
    )
    train(models, run, 1)
    models.keep(NUMBER)()
    rebuilt = load_model(store.best_path(NUMBER))
    assert str(rebuilt.network) == str(run.model)
    assert_same(rebuilt.state_dict(), run.model.state_dict())


def test_remembering_leaves_the_curve_as_it_is_bit_for_bit(few_digits, store):
    models = BestModels(store, MIN)
    models.begin(NUMBER, FACTS)
    run, _ = start(few_digits)
    _, plain = start(few_digits, epochs=EPOCHS)
    assert [dict(r.metrics) for r in train(models, run, EPOCHS)] == [dict(r.metrics) for r in plain]


@pytest.mark.parametrize(
    ("objective", "values", "epoch"),
    [
        (MIN, [3.0, 1.0, 2.0], 2),
        (MIN, [1.0, 1.0], 1),
        (MIN, [math.nan, 2.0, math.nan, -math.inf, 3.0], 2),
        (("val_loss", "max"), [1.0, 3.0, 3.0, math.inf], 2),
        (MIN, [math.nan, math.inf], None),
        (MIN, [], None),
    ],
)
def test_the_first_of_the_best_finite_values_counts(store, objective, values, epoch):
    models = BestModels(store, objective)
    models.begin(NUMBER, FACTS)
    for number, value in enumerate(values, 1):
        observe(models, number, value)
    assert models.keep(NUMBER)() == []
    found = store.best(NUMBER)
    assert (None if found is None else found["epoch"]) == epoch
    assert found is None or found["model"] == {"epoch": epoch}


def test_the_best_model_may_be_the_one_of_the_fastest_epoch(store):
    models = BestModels(store, ("epoch_seconds", "min"))
    models.begin(NUMBER, FACTS)
    for epoch, seconds in enumerate([0.3, 0.1, 0.2], 1):
        models.observe(NUMBER, EpochReport(epoch, {"val_loss": 1.0}, seconds), lambda: lambda: {"w": 1})
    models.keep(NUMBER)()
    assert store.best(NUMBER)["epoch"] == 2


def test_weights_are_made_only_where_an_epoch_is_the_best(store):
    made = []
    models = BestModels(store, MIN)
    models.begin(NUMBER, FACTS)
    for epoch, value in enumerate([3.0, 4.0, 2.0, 2.0], 1):
        models.observe(NUMBER, EpochReport(epoch, {"val_loss": value}, 0.1), lambda epoch=epoch: made.append(epoch))
    assert made == [1, 3]


def test_without_an_objective_no_best_model_is_remembered(store):
    models = BestModels(store, None)
    assert models.begin(NUMBER, FACTS) == []
    models.observe(NUMBER, EpochReport(1, {"val_loss": 1.0}, 0.1), lambda: pytest.fail("made"))
    assert models.write(NUMBER) == []
    assert models.keep(NUMBER)() == []
    assert not store.folder.exists()


def test_the_best_model_of_a_forgotten_trial_is_not_written(store):
    models = BestModels(store, MIN)
    models.begin(NUMBER, FACTS)
    observe(models, 1, 1.0)
    models.forget(NUMBER)
    models.forget(NUMBER)
    assert models.keep(NUMBER)() == []
    assert not store.holds(NUMBER)


def test_a_file_is_written_again_only_when_the_best_changed(store):
    models = BestModels(store, MIN)
    models.begin(NUMBER, FACTS)
    stamps = []
    for epoch, value in enumerate([3.0, 4.0, 2.0, 5.0], 1):
        observe(models, epoch, value)
        assert models.write(NUMBER) == []
        stamps.append(store.best_path(NUMBER).stat().st_ino)
    assert stamps[0] == stamps[1] != stamps[2] == stamps[3]
    assert store.best(NUMBER)["epoch"] == 3
    models.keep(NUMBER)()
    assert store.best_path(NUMBER).stat().st_ino == stamps[3]


def test_a_resume_takes_up_the_file_of_the_epoch_that_the_ledger_calls_best(store):
    first = BestModels(store, MIN)
    first.begin(NUMBER, FACTS)
    observe(first, 3, 1.0)
    first.write(NUMBER)
    before = store.best_path(NUMBER).read_bytes()
    second = BestModels(store, MIN)
    assert second.begin(NUMBER, FACTS, known=(3, 1.0)) == []
    observe(second, 3, 1.0)  # trained once more
    observe(second, 4, 1.5)
    assert second.keep(NUMBER)() == []
    assert store.best_path(NUMBER).read_bytes() == before


@pytest.mark.parametrize("written", [(2, 2.0), (5, 0.5), None], ids=["older", "not in the ledger", "none"])
def test_what_no_file_holds_is_remembered_when_it_is_trained_again(store, written):
    if written is not None:
        first = BestModels(store, MIN)
        first.begin(NUMBER, FACTS)
        observe(first, *written)
        first.write(NUMBER)
    second = BestModels(store, MIN)
    second.begin(NUMBER, FACTS, known=(3, 1.0))
    observe(second, 2, 2.0)
    assert second.write(NUMBER) == [], "nothing yet, and nothing to say"
    observe(second, 3, 1.0)
    observe(second, 4, 1.5)
    assert second.keep(NUMBER)() == []
    assert store.best(NUMBER)["epoch"] == 3


def test_an_epoch_of_the_future_is_taken_only_when_it_is_trained(store):
    """A file newer than the ledger: the trial may be pruned before it comes there again."""
    first = BestModels(store, MIN)
    first.begin(NUMBER, FACTS)
    observe(first, 3, 1.0)
    observe(first, 5, 0.5)
    first.write(NUMBER)
    second = BestModels(store, MIN)
    second.begin(NUMBER, FACTS, known=(3, 1.0))
    observe(second, 4, 1.5)
    (note,) = second.keep(NUMBER)()
    assert note == "trial 12: its best model, of epoch 3, was lost and is not kept"
    assert not store.best_path(NUMBER).exists(), "another epoch's model does not pass for the best"


def test_a_damaged_file_is_said_and_lost_unless_it_is_trained_again(store):
    first = BestModels(store, MIN)
    first.begin(NUMBER, FACTS)
    observe(first, 3, 1.0)
    first.write(NUMBER)
    path = store.best_path(NUMBER)
    path.write_bytes(path.read_bytes()[:-1])
    second = BestModels(store, MIN)
    (note,) = second.begin(NUMBER, FACTS, known=(3, 1.0))
    assert note.startswith("trial 12: checkpoint ") and "is damaged" in note
    observe(second, 4, 1.5)
    (lost,) = second.keep(NUMBER)()
    assert "was lost" in lost
    assert not path.exists()


def test_a_better_epoch_replaces_a_best_model_that_was_lost(store):
    models = BestModels(store, MIN)
    models.begin(NUMBER, FACTS, known=(3, 1.0))
    observe(models, 4, 1.5)
    observe(models, 5, 0.5)
    assert models.keep(NUMBER)() == []
    assert store.best(NUMBER)["epoch"] == 5


def test_a_disk_that_cannot_be_written_is_said_and_the_next_try_may_succeed(store):
    store.folder.parent.mkdir(exist_ok=True)
    store.folder.write_text("a file where the folder should be")
    models = BestModels(store, MIN)
    models.begin(NUMBER, FACTS)
    observe(models, 1, 1.0)
    (note,) = models.write(NUMBER)
    assert note.startswith("trial 12: its best model, of epoch 1, cannot be written: ")
    observe(models, 2, 2.0)
    store.folder.unlink()
    assert models.keep(NUMBER)() == []
    assert store.best(NUMBER)["epoch"] == 1


def test_where_the_last_write_fails_no_older_model_stays(store, unprivileged):
    models = BestModels(store, MIN)
    models.begin(NUMBER, FACTS)
    observe(models, 1, 1.0)
    models.write(NUMBER)
    temporary = store.best_path(NUMBER).with_name("best.pt.tmp")
    temporary.mkdir()  # nobody can write a file there
    observe(models, 2, 0.5)
    (note,) = models.keep(NUMBER)()
    assert "of epoch 2, cannot be written" in note
    assert not store.best_path(NUMBER).exists()


def test_a_model_that_cannot_be_pickled_is_named_in_a_note(store):
    models = BestModels(store, MIN)
    models.begin(NUMBER, FACTS)
    models.observe(NUMBER, EpochReport(1, {"val_loss": 1.0}, 0.1), lambda: lambda: {"weights": lambda: None})
    (note,) = models.keep(NUMBER)()
    assert note.startswith("trial 12: its best model, of epoch 1, cannot be written: ")
    assert not store.best_path(NUMBER).exists()


def test_a_weights_snapshot_does_not_change_with_training(few_digits):
    run, _ = start(few_digits, epochs=1)
    taken = snapshot_weights(run)
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    run.step()
    assert_same(taken(), before)


def test_the_whole_state_is_kept_of_a_run_without_a_model():
    class Counter:
        def state_dict(self):
            return {"epoch": 3, "seen": [1, 2]}

    assert snapshot_weights(Counter())() == {"epoch": 3, "seen": [1, 2]}


def test_a_detached_copy_shares_no_tensor_with_nested_data():
    inner = torch.ones(2, requires_grad=True)
    value = {"a": [inner, (1, {"b": inner})], "c": "text"}
    found = detached_copy(value)
    inner.data.zero_()
    assert torch.equal(found["a"][0], torch.ones(2)) and torch.equal(found["a"][1][1]["b"], torch.ones(2))
    assert not found["a"][0].requires_grad
    assert (type(found["a"][1]), found["a"][1][0], found["c"]) == (tuple, 1, "text")


def test_loading_a_file_that_holds_no_best_model_is_refused(few_digits, store, tmp_path):
    run, _ = start(few_digits, epochs=1)
    path = store.save(NUMBER, run.state_dict())
    with pytest.raises(
        CheckpointError, match="holds no best model: max_epochs, outputs, params, shape, trainable is missing"
    ):
        load_model(path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_model(tmp_path / "absent.pt")


def test_weights_that_do_not_fit_are_said_in_a_line(few_digits, store):
    run, _ = start(few_digits, epochs=1)
    store.save_best(NUMBER, {**FACTS, "shape": [3], "model": run.state_dict()["model"]})
    with pytest.raises(CheckpointError, match="its weights do not fit its model: .*size mismatch for") as caught:
        load_model(store.best_path(NUMBER))
    assert "\n" not in str(caught.value)


class CannotRebuild:
    """As a trainable of a user's own may be."""


def test_a_trainable_that_cannot_rebuild_says_so(store):
    name = f"{__name__}:CannotRebuild"
    store.save_best(NUMBER, {**FACTS, "trainable": name, "model": {}})
    with pytest.raises(ConfigError, match=rf"trainable {name} has no rebuild\(config, state\)"):
        load_model(store.best_path(NUMBER))


def test_facts_that_the_caller_changes_later_do_not_reach_the_file(few_digits):
    params = dict(PARAMS)
    facts = trial_facts(1, trainable="mlp", params=params, max_epochs=2, seed=0, shape=(1, 8, 8), outputs=10)
    params["dropout"] = 0.9
    assert facts["params"]["dropout"] == PARAMS["dropout"]
    assert dataclasses.asdict(MlpConfig.from_params(facts["params"], max_epochs=2))["dropout"] == 0.2


def test_a_cnn_is_rebuilt_for_the_images_it_was_trained_on(store):
    params = {"model": "cnn", "channels": "4-8", "head": "16", "batch_norm": True}
    trainable, data = find_trainable("net"), DeviceData.of(load_splits(DataSpec("digits", train_examples=100)), CPU)
    run = trainable.start(trainable.configure(params, max_epochs=1), data, seed=5, device=CPU)
    run.step()
    facts = trial_facts(1, trainable="net", params=params, max_epochs=1, seed=5, shape=data.shape, outputs=10)
    store.save_best(1, {**facts, "model": run.state_dict()["model"]})
    rebuilt = load_model(store.best_path(1))
    with torch.no_grad():
        assert torch.equal(rebuilt(data.x_val), run.model.eval()(data.x_val))


def test_a_users_own_model_is_rebuilt_by_its_function(few_digits, store):
    name, params = "model:tests.trainables.user_models:small", {"width": 12, "drop": 0.3, "batch_size": 32}
    trainable = find_trainable(name)
    run = trainable.start(trainable.configure(params, max_epochs=1), few_digits, seed=5, device=CPU)
    run.step()
    facts = trial_facts(1, trainable=name, params=params, max_epochs=1, seed=5, shape=few_digits.shape, outputs=10)
    store.save_best(1, {**facts, "model": run.state_dict()["model"]})
    with torch.no_grad():
        assert torch.equal(load_model(store.best_path(1))(few_digits.x_val), run._run.model.eval()(few_digits.x_val))
