from search.executors.marker import MarkerFile, marked_trials, marked_work


def test_every_trial_in_training_is_named_with_when_its_epoch_began(tmp_path):
    marker = MarkerFile(tmp_path / "worker_0.at")
    with marker.in_training(3):
        with marker.in_training(5):
            named = marked_trials(tmp_path / "worker_0.at")
            assert list(named) == [3, 5]
            assert named[3] <= named[5]
        assert list(marked_trials(tmp_path / "worker_0.at")) == [3]


def test_the_last_one_stays_named_until_another_begins(tmp_path):
    marker = MarkerFile(tmp_path / "worker_0.at")
    with marker.in_training(3):
        pass
    assert list(marked_trials(tmp_path / "worker_0.at")) == [3]
    with marker.in_training(5):
        assert list(marked_trials(tmp_path / "worker_0.at")) == [5]


def test_where_nothing_or_something_else_is_written_none_is_named(tmp_path):
    assert marked_trials(tmp_path / "nothing.at") == {}
    (tmp_path / "half.at").write_text("3")
    assert marked_trials(tmp_path / "half.at") == {}


def test_a_trial_may_be_in_training_more_than_once_while_it_is_measured(tmp_path):
    marker = MarkerFile(tmp_path / "marker")
    with marker.in_training(3):
        with marker.in_training(3):
            assert list(marked_trials(tmp_path / "marker")) == [3]
        assert list(marked_trials(tmp_path / "marker")) == [3]


def test_what_else_is_done_is_said_beside_the_trials(tmp_path):
    path = tmp_path / "worker_0.at"
    marker = MarkerFile(path)
    assert marked_work(path) is None
    with marker.in_training(3):
        pass
    with marker.doing("checking whether it can be stacked"):
        assert marked_work(path)[0] == "checking whether it can be stacked"
        assert list(marked_trials(path)) == [3]
        with marker.in_training(5):
            assert marked_work(path)[1] <= marked_trials(path)[5]
    assert marked_work(path) is None
    assert list(marked_trials(path)) == [5]


def test_a_trial_that_ended_its_epoch_is_named_no_more_while_a_stack_trains(tmp_path):
    marker = MarkerFile(tmp_path / "at")
    with marker.in_training(3):
        marker.clear()
        assert list(marked_trials(tmp_path / "at")) == [3]
    marker.clear()
    assert marked_trials(tmp_path / "at") == {}
