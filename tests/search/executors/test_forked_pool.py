"""Trials of code of the user's own in processes that are forked: what they come to, and what becomes of those that end.

The processes really hang, are killed and exit; how many there are is by the cores that a study asks for.
"""

import os
import signal
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from search.errors import RunError
from search.executors.fork_server import server_started_ahead
from search.executors.lane_workers import processes_of
from search.executors.lanes import LanesExecutor, open_pool
from search.executors.timing import Timing
from search.ledger.outcome import TrialState
from spaces import Space, category, float_
from tests.search.executors.conftest import make_study, record, steady_study
from tests.support.steady import trained, undisturbed

MODELS = "model:tests.support.own_models:"
SPACE = Space((float_("drop", 0.1, 0.6, baseline=0.1), float_("learning_rate", 1e-3, 1e-1, log=True, baseline=0.01)))


def study_of(model, *, cores=2, space=SPACE, trials=8, **values):
    """A study of one of our models in lanes; ASHA decides, so that what is decided when shows in the trials."""
    declared = {
        "space": space,
        "settings": {"batch_size": 32},
        "budget": {"trials": trials, "max_epochs": 4},
        "sampler": "tpe",
        "scheduler": {"name": "asha", "grace": 1, "reduction_factor": 2},
        "executor": "lanes",
        "lanes": {"lanes": 4},
        "resources": {"cpus_per_worker": cores},
        "confirm": {"pairs": 0},
    }
    return make_study(Path(), MODELS + model, **{**declared, **values})


@pytest.fixture(scope="module", autouse=True)
def server():
    """One for all searches of this module: to begin anew takes two seconds."""
    with server_started_ahead(True):
        yield


def facts(recorded):
    """What a search came to."""
    return [
        (t.number, t.params, t.seed, t.state, t.stop_reason, recorded.curve(t.number)) for t in recorded.trials
    ], recorded.decisions[["number", "epoch", "action", "value", "reason"]].to_dict("records")


@pytest.mark.parametrize("mode", ["stacked", "looped"])
def test_a_search_is_the_same_whatever_the_number_of_processes(tmp_path, mode):
    found = [
        record(study_of("normed", cores=cores, lanes={"lanes": 4, "mode": mode}), tmp_path / f"{mode}{cores}")
        for cores in (1, 2)
    ]
    assert facts(found[0]) == facts(found[1])
    assert {t.state for t in found[0].trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    said = found[1].events.query("kind == 'lanes'")["message"].tolist()
    assert said == ["worker 0: 4 lanes, as asked for; up to 2 train at a time, in processes with a core each"]


def test_what_one_process_found_out_of_a_group_the_others_go_by(tmp_path):
    recorded = record(study_of("normed", lanes={"lanes": 4, "mode": "stacked"}), tmp_path)
    measured = recorded.events.query("kind == 'lane_mode'")
    assert len(measured) == 1, "not once a process"


def test_what_a_model_keeps_in_a_global_is_a_processs_own(tmp_path):
    recorded = record(study_of("telling_its_process", trials=4), tmp_path)
    pids = {line.split()[1] for line in (tmp_path / "here" / "worker_0.log").read_text().splitlines() if "pid" in line}
    other = {line.split()[1] for line in (tmp_path / "here" / "worker_1.log").read_text().splitlines() if "pid" in line}
    assert len(pids) == len(other) == 1 and pids != other
    assert str(os.getpid()) not in pids | other
    assert {t.state for t in recorded.trials} <= {TrialState.COMPLETE, TrialState.PRUNED}


@pytest.mark.slow
def test_a_trial_that_hangs_is_ended_and_the_others_go_on(tmp_path):
    space = Space((*SPACE, category("does", ("trains", "hangs"), baseline="trains")))
    study = study_of(
        "at_times", space=space, trials=4, faults={"trial_timeout_s": 4.0}, lanes={"lanes": 4, "mode": "looped"}
    )
    recorded = record(study, tmp_path)
    hung = [t for t in recorded.trials if t.params["does"] == "hangs"]
    assert hung and {t.message for t in hung} == {"no report in 4 s (--trial-timeout)"}
    assert {t.state for t in recorded.trials if t not in hung} <= {TrialState.COMPLETE, TrialState.PRUNED}


def lost_of_a_stack(model, folder, **faults):
    """Search in stacks and return what was said of lost workers; every trial completes, though none may fail."""
    study = study_of(
        model,
        trials=4,
        budget={"trials": 4, "max_epochs": 20},
        scheduler={"name": "none", "grace": 1, "reduction_factor": 2},
        lanes={"lanes": 4, "mode": "stacked"},
        faults={"max_failures": 0, **faults},
    )
    recorded = record(study, folder)
    assert [t.state for t in recorded.trials] == [TrialState.COMPLETE] * 4
    return recorded.events.query("kind == 'worker_lost'")["message"].tolist()


@pytest.mark.slow
def test_a_stack_that_hangs_is_looped_and_none_of_its_trials_is_blamed(tmp_path):
    """It stands still after its check, which the search would wait for without an end."""
    lost = lost_of_a_stack("standing_still", tmp_path, trial_timeout_s=3.0)
    assert "no report of a stack in 3 s for each of its trials; stacks are looped now, which tells the trial" in lost[0]


def test_a_stack_that_crashes_again_is_looped_and_none_of_its_trials_is_blamed(tmp_path):
    lost = lost_of_a_stack("falling_down", tmp_path)
    assert ["looped now" in message for message in lost] == [False, True]


@pytest.mark.slow
def test_a_looped_trial_is_not_blamed_for_the_time_that_a_stack_takes_before_it(tmp_path):
    space = Space((*SPACE, category("does", ("trains", "looks"), baseline="trains")))
    study = study_of(
        "slow_stacked",
        cores=1,
        space=space,
        trials=4,
        budget={"trials": 4, "max_epochs": 3},
        sampler="qmc",
        scheduler={"name": "none", "grace": 1, "reduction_factor": 2},
        lanes={"lanes": 4, "mode": "stacked"},
        faults={"trial_timeout_s": 5.0},
    )
    recorded = record(study, tmp_path)
    assert {t.params["does"] for t in recorded.trials} == {"trains", "looks"}
    assert [(t.state, t.message) for t in recorded.trials] == [(TrialState.COMPLETE, None)] * 4


def test_a_trial_that_exits_alone_counts_a_failure_each_time(tmp_path):
    space = Space((*SPACE, category("does", ("trains", "exits"), baseline="trains")))
    study = study_of("at_times", space=space, faults={"max_failures": 1}, lanes={"lanes": 4, "mode": "looped"})
    executor = LanesExecutor(timing=Timing(back_off_s=0.01))
    recorded = record(study, tmp_path, executor=executor)
    gone = [t for t in recorded.trials if t.params["does"] == "exits"]
    assert gone and {t.message for t in gone} == {
        "its worker process died while training it, 2 times (--max-failures 1): its process ended with exit code 7"
    }
    assert {t.state for t in recorded.trials if t not in gone} <= {TrialState.COMPLETE, TrialState.PRUNED}


def test_an_error_that_cannot_travel_keeps_its_name_and_words(tmp_path):
    space = Space((*SPACE, category("does", ("trains", "raises"), baseline="trains")))
    recorded = record(study_of("at_times", space=space, lanes={"lanes": 4, "mode": "looped"}), tmp_path)
    failed = [t for t in recorded.trials if t.params["does"] == "raises"]
    assert failed and {t.message for t in failed} == {"HoldsALock: of its own"}
    assert all("own_models.py" in t.traceback for t in failed)


def test_what_a_trial_does_to_its_process_s_folder_or_raises_as_a_signal_would_is_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space = Space((*SPACE, category("does", ("trains", "moves", "interrupts"), baseline="trains")))
    study = study_of("at_times", space=space, lanes={"lanes": 4, "mode": "looped"})
    recorded = record(study, Path("home"))
    failed = [t for t in recorded.trials if t.params["does"] == "interrupts"]
    assert failed and {t.message for t in failed} == {"KeyboardInterrupt: its own"}
    assert {t.state for t in recorded.trials if t not in failed} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert "moves" in {t.params["does"] for t in recorded.trials}


def test_trials_of_processes_that_are_killed_go_on_from_their_checkpoints(tmp_path):
    folder = tmp_path / "counts"
    folder.mkdir()
    study = steady_study(
        folder, epoch_s=0.02, trials=4, max_epochs=6, executor="lanes", lanes={"lanes": 2}, faults={"max_failures": 9}
    )
    killed, done = [], threading.Event()

    def kill_twice():
        while len(killed) < 2 and not done.wait(0.02):
            for epochs in trained(folder).values():
                if len(epochs) >= 2 and epochs[-1].pid not in killed:
                    os.kill(epochs[-1].pid, signal.SIGKILL)
                    killed.append(epochs[-1].pid)
                    break

    killer = threading.Thread(target=kill_twice)
    killer.start()
    try:
        recorded = record(study, tmp_path / "home", executor=LanesExecutor(timing=Timing(back_off_s=0.01)))
    finally:
        done.set()
        killer.join()
    assert len(killed) == 2
    messages = recorded.events.query("kind == 'worker_lost'")["message"].tolist()
    assert len(messages) == 2 and all("ended with SIGKILL: was there enough memory?" in m for m in messages)
    for trial in recorded.trials:
        assert trial.state is TrialState.COMPLETE
        assert recorded.curve(trial.number) == undisturbed(trial, 6, tmp_path)


def test_a_process_that_is_lost_while_best_models_are_written_is_replaced(tmp_path):
    lost = []

    @contextmanager
    def opened(search, timing):
        with open_pool(search, timing) as pool:
            write_best = pool.write_best

            def killed_meanwhile(keeps):
                if not lost and any(name == "write_best" for one in pool._processes for name, _ in one.asked):
                    lost.append(pool._processes[0].process.pid)
                    os.kill(lost[0], signal.SIGSTOP)  # it has not answered, then
                    pool._processes[0].process.kill()
                return write_best(keeps)

            pool.write_best = killed_meanwhile
            yield pool

    executor = LanesExecutor(open_pool=opened, timing=Timing(back_off_s=0.01, settle_every_s=0.0))
    recorded = record(study_of("normed", lanes={"lanes": 4, "mode": "looped"}), tmp_path, executor=executor)
    assert lost and len(recorded.events.query("kind == 'worker_lost'")) == 1
    assert {t.state for t in recorded.trials} == {TrialState.COMPLETE, TrialState.PRUNED}


@pytest.mark.parametrize(
    ("trainable", "message"),
    [("Unready", "a worker failed: ValueError: no room"), ("Exiting", "the workers did not start: .* exit code 7")],
)
def test_a_process_that_does_not_come_up_is_an_error_that_says_why(tmp_path, trainable, message):
    study = make_study(tmp_path, f"tests.support.own_models:{trainable}", executor="lanes")
    with pytest.raises(RunError, match=message):
        record(study, tmp_path)


@pytest.mark.parametrize(
    ("trainable", "resources", "processes"),
    [
        (MODELS + "normed", {"cpus_per_worker": 3}, 3),
        (MODELS + "normed", {"cpus_per_worker": 30}, 4),
        (MODELS + "normed", {"cpus_per_worker": 0.5}, 1),
        ("train:tests.trainables.train_functions:train", {"cpus_per_worker": 3}, 1),
    ],
)
def test_models_have_a_process_for_each_core_and_functions_one(trainable, resources, processes):
    study = study_of("normed").model_copy(update={"trainable": trainable})
    study = study.model_copy(update={"resources": study.resources.model_copy(update=resources)})
    assert processes_of(study) == processes
