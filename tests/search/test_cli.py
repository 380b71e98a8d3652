"""The commands as a user types them: real processes, their text and their exit codes."""

import json
import subprocess
import sys

import pytest
from mlflow.tracking import MlflowClient

from search.ledger import Ledger, sqlite_url
from spaces import BASELINE_TRIAL


def lanewise(*arguments, module="search"):
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)


def search_run(*arguments):
    return lanewise("--no-confirm", *arguments, module="search.run")


def test_an_unknown_study_gets_the_nearest_name_and_exit_2(tmp_path):
    done = search_run("regularisation", "--home", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown study 'regularisation'. Did you mean 'regularization'? Known: ")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_every_mistake_is_named_at_once_without_a_traceback(tmp_path):
    done = search_run(
        *("regularization", "--home", tmp_path, "--trials", 0, "--reduction-factor", 1),
        *("--set", "dropuot=0.1", "--set", "weight_decay.low=1", "--time-budget", "soon"),
        *("--gpus-per-trial", 1.5, "--dataset", "minst"),
    )
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert all(line.startswith("error: ") for line in lines), done.stderr
    for words in (
        "unknown parameter 'dropuot'. Did you mean 'dropout'?",
        "weight_decay: low 1 must be below high 0.1",
        "--time-budget 'soon': expected a duration such as 90s, 10m or 1h30m",
        "--trials must be >= 1, got 0",
        "--reduction-factor must be >= 2, got 1",
        "--dataset 'minst' is unknown. Did you mean 'mnist'?",
        "--gpus-per-trial must be a fraction up to 1 or a whole number of GPUs, got 1.5",
    ):
        assert words in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_option_that_does_not_exist_is_a_usage_error(tmp_path):
    done = search_run("regularization", "--trails", 3)
    assert done.returncode == 2
    assert "No such option" in done.stderr
    assert "--trials" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dry_run_prints_the_study_and_starts_nothing(tmp_path):
    done = search_run("regularization", "--home", tmp_path / "h", "--dry-run", "--set", "dropout.high=0.3")
    assert done.returncode == 0, done.stderr
    for words in (
        "1079 train, 359 validation, 359 test (held out), 10 classes",
        "64 trials of at most 30 epochs",
        "0 .. 0.3",
        "only where",
        str(tmp_path / "h"),
        f"sqlite:///{tmp_path / 'h' / 'mlflow.db'}",
    ):
        assert words in done.stdout
    assert not (tmp_path / "h").exists()


def test_absent_data_names_the_folder_and_the_flag(tmp_path):
    done = search_run("regularization", "--dataset", "mnist", "--data-dir", tmp_path, "--home", tmp_path / "h")
    assert done.returncode == 2
    assert str(tmp_path / "MNIST" / "raw") in done.stderr
    assert "--download" in done.stderr
    assert not (tmp_path / "h").exists()


def test_list_names_what_can_be_run():
    done = lanewise("list", "--home", "/nonexistent")
    assert done.returncode == 0
    assert "regularization" in done.stdout


def test_show_of_an_unknown_name_suggests_the_nearest(tmp_path):
    with_ledger = tmp_path / "digits-1"
    with_ledger.mkdir()
    Ledger(sqlite_url(with_ledger / "ledger.db"), create=True).close()
    done = lanewise("show", "digits-2", "--home", tmp_path)
    assert done.returncode == 2
    assert "no study 'digits-2'" in done.stderr
    assert "Did you mean 'digits-1'?" in done.stderr


def test_show_of_something_that_is_no_ledger_is_one_line(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "ledger.db").write_bytes(b"no database" * 100)
    done = lanewise("show", "s", "--home", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ledger ")
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One small search by the command line, with MLflow on its default."""
    home = tmp_path_factory.mktemp("home")
    done = search_run(
        *("regularization", "--home", home, "--name", "small", "--trials", 8, "--max-epochs", 9),
        *("--executor", "tune", "--json"),
    )
    assert done.returncode == 0, done.stderr
    return home, json.loads(done.stdout)


def test_json_is_one_object_that_agrees_with_the_ledger(finished):
    home, found = finished
    with Ledger(sqlite_url(home / "small" / "ledger.db")) as ledger:
        row = ledger.study("small")
        epochs = ledger.epochs_frame(row.id)
        trials = ledger.trials_frame(row.id)
        (session,) = ledger.sessions(row.id)
    assert found["trials"] == len(trials) == 8
    assert found["epochs_trained"] == len(epochs)
    assert found["best"]["value"] == epochs["val_loss"].min()
    assert found["baseline"]["params"]["dropout"] == 0
    assert found["best"]["value"] < found["baseline"]["value"]
    assert found["ending"] == session.ending == "done"
    assert found["untracked"] is None


def test_mlflow_has_one_parent_and_a_run_for_each_trial_and_none_is_running(finished):
    home, found = finished
    client = MlflowClient(found["tracking_uri"])
    experiment = client.get_experiment_by_name("regularization")
    runs = client.search_runs([experiment.experiment_id])
    children = [r for r in runs if "lanewise.trial" in r.data.tags]
    assert len(runs) == 9
    assert sorted(int(r.data.tags["lanewise.trial"]) for r in children) == list(range(8))
    assert {r.info.status for r in runs} <= {"FINISHED", "KILLED"}
    with Ledger(sqlite_url(home / "small" / "ledger.db")) as ledger:
        row = ledger.study("small")
        trained = ledger.epochs_frame(row.id).groupby("number")["epoch"].apply(list).to_dict()
    for run in children:
        steps = [m.step for m in client.get_metric_history(run.info.run_id, "val_loss")]
        assert steps == trained[int(run.data.tags["lanewise.trial"])]
        pruned = run.data.tags["lanewise.state"] == "PRUNED"
        assert pruned == run.data.tags["lanewise.stop_reason"].startswith("rung_")
        assert run.info.status == ("KILLED" if pruned else "FINISHED")


def test_show_tells_the_same_again(finished):
    home, found = finished
    shown = lanewise("show", "small", "--home", home)
    assert shown.returncode == 0, shown.stderr
    assert f"best val_loss {found['best']['value']:.5g} (trial {found['best']['trial']})" in shown.stdout
    assert "mlflow ui --backend-store-uri" in shown.stdout
    kept = found["checkpoints"]
    others = [entry["trial"] for entry in found["top"] if entry["trial"] != BASELINE_TRIAL]
    models = {BASELINE_TRIAL, *others[:3]}
    assert (kept["kept"], kept["best_model"]) == (
        len(models),
        str(home / "small" / "checkpoints" / f"trial_{found['best']['trial']:05d}" / "best.pt"),
    )
    assert f"models     {len(models)} checkpoints kept, {kept['size_mb']:.2f} MB\n" in shown.stdout
    assert f"best model {kept['best_model']}\n" in shown.stdout
    again = json.loads(lanewise("show", "small", "--home", home, "--json").stdout)
    assert (again["top"], again["checkpoints"]) == (found["top"], kept)


def test_a_name_that_exists_is_refused_and_what_is_there_stays(finished):
    home, _ = finished
    before = (home / "small" / "ledger.db").stat().st_mtime_ns
    done = search_run("regularization", "--home", home, "--name", "small")
    assert done.returncode == 2
    assert "a study of this name exists" in done.stderr
    assert (home / "small" / "ledger.db").stat().st_mtime_ns == before


def test_sync_sends_an_offline_study(tmp_path):
    done = search_run(
        *("regularization", "--home", tmp_path, "--name", "off", "--trials", 2, "--max-epochs", 3),
        *("--tracking", "offline"),
    )
    assert done.returncode == 0, done.stderr
    assert "python -m search sync off" in done.stdout
    assert not (tmp_path / "mlflow.db").exists()
    sent = lanewise("sync", "off", "--home", tmp_path)
    assert sent.returncode == 0, sent.stderr
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("regularization").experiment_id])
    assert len(runs) == 3
    assert {r.info.status for r in runs} <= {"FINISHED", "KILLED"}
