import io
import math
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from search.executors.progress import Progress
from search.face.live_view import (
    Lines,
    Panel,
    Silent,
    duration,
    left,
    make_view,
    pace_text,
    panel,
    states_text,
    summary,
)
from search.ledger.outcome import TrialState


def recording(*, terminal=False, width=100):
    return Console(record=True, file=io.StringIO(), force_terminal=terminal, width=width, color_system=None)


def busy():
    """Return a search in its middle: 6 of 10 trials ended, 40 epochs in 20 seconds."""
    now = time.monotonic()
    progress = Progress(trials=10, max_epochs=5, time_s=None, started=now - 25, training_since=now - 20)
    progress.states.update({TrialState.RUNNING: 2, TrialState.PRUNED: 4, TrialState.COMPLETE: 2})
    progress.epochs, progress.best_value, progress.best_trial, progress.baseline_value = 40, 0.123456, 3, 0.25
    return progress


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.4, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (7620, "2 h 07 min"),
        (90_000, "25 h 00 min"),
    ],
)
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text


@given(st.floats(0, 1e6))
def test_a_duration_never_shows_sixty(seconds):
    assert "60" not in duration(seconds).split()


def test_states_are_listed_in_their_order_without_zeros():
    progress = busy()
    assert states_text(progress) == "2 running, 2 complete, 4 pruned"
    progress.states[TrialState.RUNNING] = 0
    assert states_text(progress) == "2 complete, 4 pruned"
    assert states_text(Progress(1, 1, None)) == ""


def test_the_pace_is_epochs_over_the_time_since_the_first_trial():
    assert pace_text(busy()) == "2 epochs/s"  # 40 epochs in 20 s
    assert pace_text(Progress(1, 1, None)) is None


def test_the_time_left_comes_from_the_pace_and_the_budget():
    progress = busy()
    # 20 s for 6 trials, 4 to go.
    assert progress.seconds_left() == pytest.approx(20 / 6 * 4, rel=0.2)  # a slow machine adds to the 20
    progress.time_s = 26.0
    assert 0 <= progress.seconds_left() <= 1
    progress.time_s = 1.0
    assert progress.seconds_left() == 0
    assert left(progress) == "about 0 s left"


def test_where_trials_wait_those_that_began_are_told_and_the_epochs_say_how_long():
    progress = Progress(10, 5, None, pauses=True, total_epochs=80, started=time.monotonic() - 25)
    progress.training_since, progress.epochs = time.monotonic() - 20, 40
    progress.states.update({TrialState.RUNNING: 2, TrialState.PAUSED: 5, TrialState.COMPLETE: 1})
    text = summary(progress, "val_loss")
    assert text.startswith("8/10 trials begun (2 running, 5 paused, 1 complete), 40 of 80 epochs, 2 epochs/s, about 2")
    assert progress.seconds_left() == pytest.approx(20, rel=0.2)
    progress.total_epochs = None
    assert progress.seconds_left() is None and " of " not in summary(progress, "val_loss")
    progress.states = Counter({TrialState.PRUNED: 9, TrialState.COMPLETE: 1})
    assert summary(progress, "val_loss").startswith("10/10 trials ended")


def test_nothing_is_known_before_the_first_trial_ended():
    assert left(Progress(10, 5, None)) == "time left unknown"
    assert Progress(10, 5, 3600.0).seconds_left() == pytest.approx(3600, abs=60)  # the time since the line was made


def test_ended_counts_all_that_do_not_run():
    progress = busy()
    assert progress.ended == 6
    progress.states.update({TrialState.FAILED: 1, TrialState.CANCELLED: 1})
    assert progress.ended == 8


def test_the_summary_is_one_line_with_everything():
    text = summary(busy(), "val_loss")
    assert text.startswith(
        "6/10 trials ended (2 running, 2 complete, 4 pruned), best val_loss 0.12346 (trial 3), 2 epochs/s, about "
    )
    assert text.endswith(" left")
    assert "\n" not in text


def test_the_summary_of_nothing_says_so():
    progress = Progress(10, 5, None)
    assert summary(progress, "val_loss") == "10 trials: none started after 0 s"
    assert summary(progress, "val_loss", doing="starting 2 workers").endswith("0 s; starting 2 workers")
    progress.states[TrialState.RUNNING] = 2
    assert summary(progress, "val_loss") == "10 trials: 2 running, no epoch ended after 0 s"
    progress.epochs, progress.training_since = 1, progress.started - 20
    assert summary(progress, "val_loss") == "0/10 trials ended (2 running), an epoch in 20 s, time left unknown"


def test_lines_are_plain_and_not_wrapped():
    console = recording(width=20)
    with Lines(console, metric="val_loss", every_s=0.0) as view:
        view.say("[bold]searching[/bold] 12 trials in a folder with a long name")
        view.update(busy())
    first, second = console.export_text().splitlines()
    assert first == "[bold]searching[/bold] 12 trials in a folder with a long name"
    assert second.startswith("6/10 trials ended")


def test_lines_are_few():
    console = recording()
    view = Lines(console, metric="val_loss", every_s=math.inf)
    for _ in range(100):
        view.update(busy())
    assert console.export_text() == ""


def test_the_panel_shows_everything():
    console = recording()
    console.print(panel(busy(), "val_loss"))
    rows = [line.split(maxsplit=1) for line in console.export_text().splitlines()]
    assert [row[0] for row in rows] == ["trials", "best", "epochs", "time"]
    assert rows[0][1].strip() == "6 of 10 ended   2 running, 2 complete, 4 pruned"
    assert rows[1][1].strip() == "val_loss 0.12346 in trial 3   (baseline 0.25)"
    assert rows[2][1].strip() == "40 trained, 2 epochs/s"
    assert " gone, about " in rows[3][1]


def test_the_panel_leaves_out_what_is_not_known():
    console = recording()
    progress = Progress(10, 5, None)
    console.print(panel(progress, "val_loss"))
    assert "best" not in console.export_text()
    progress.best_trial, progress.best_value = 1, 0.5
    console.print(panel(progress, "val_loss"))
    assert "val_loss 0.5 in trial 1" in (text := console.export_text())
    assert "baseline" not in text


def test_the_panel_is_drawn_in_place_and_lines_stay_above_it():
    console = recording(terminal=True)
    with Panel(console, metric="val_loss", refresh_s=0.0) as view:
        view.update(busy())
        view.say("[one] line")
        view.update(busy())
    text = console.export_text()
    assert "[one] line" in text
    assert text.count("6 of 10 ended") >= 2


def test_silent_shows_nothing(capsys):
    with Silent() as view:
        view.say("words")
        view.update(busy())
    assert capsys.readouterr().out == ""


def test_a_quiet_view_says_what_must_be_known_and_nothing_of_the_progress():
    console = recording(terminal=True)
    with make_view(console, metric="val_loss", quiet=True) as view:
        view.update(busy())
        view.say("a trial failed")
        view.update(busy())
    assert console.export_text() == "a trial failed\n"


@pytest.mark.parametrize(
    ("terminal", "silent", "kind"), [(True, False, Panel), (False, False, Lines), (True, True, Silent)]
)
def test_the_view_fits_the_output(terminal, silent, kind):
    assert type(make_view(recording(terminal=terminal), metric="val_loss", silent=silent)) is kind
