"""The tracker's process that is started ahead: the first to need one takes it, and one that nobody took ends."""

import psutil
import pytest

from search.tracking import ahead


@pytest.fixture
def started(monkeypatch):
    """The processes that were started; they are ended here."""
    made, start = [], ahead._start

    def recorded():
        made.append(start())
        return made[-1]

    monkeypatch.setattr(ahead, "_start", recorded)
    yield made
    for process in made:
        with process:
            process.kill()


def test_the_first_that_needs_a_process_takes_the_one_that_is_there(started):
    with ahead.started_ahead(True):
        (early,) = started
        assert ahead.take() is early
        assert ahead.take() is not early
    assert [process.poll() for process in started] == [None, None], "whoever took them ends them"


def test_a_process_that_nobody_took_ends_with_what_it_was_started_for(started):
    with pytest.raises(ValueError), ahead.started_ahead(True):
        raise ValueError("a study that is refused")
    (early,) = started
    assert early.returncode is not None
    assert not psutil.pid_exists(early.pid)


def test_nothing_is_started_ahead_where_no_run_goes_to_mlflow(started):
    with ahead.started_ahead(False):
        assert started == []
