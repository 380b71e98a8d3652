"""The chart of the best value over the trials: its lines, its encoding, and where there is none."""

import io

import pytest
from rich.console import Console

from benchmarks.report_page import record_study
from search.face.chart import HEIGHT, best_chart
from tests.support.command import invoke


def chart(steps, trials, *, width=80, encoding="utf-8"):
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    return best_chart(steps, trials, Console(file=file, width=width))


def test_a_step_down_is_drawn_where_the_trial_was():
    lines = chart([(0, 2.0), (10, 1.0)], 21, width=50)
    assert lines[0] == "  2 ┤" + "─" * 22 + "┐"
    assert lines[HEIGHT - 1] == "  1 ┤" + " " * 22 + "└" + "─" * 22
    assert {line[27:28] for line in lines[1 : HEIGHT - 1]} == {"│"}
    assert lines[-2] == "    └" + "─" * 45
    assert lines[-1].split() == ["0", "trial", "20"]


def test_a_step_up_is_drawn_where_more_is_better():
    lines = chart([(0, 0.5), (10, 0.9)], 21, width=50)
    assert lines[0].startswith("  0.9 ┤") and lines[0].endswith(" ┌" + "─" * 21)
    assert lines[HEIGHT - 1].startswith("  0.5 ┤──") and lines[HEIGHT - 1].endswith("─┘")


def test_values_far_apart_are_on_a_logarithm():
    lines = chart([(0, 100.0), (4, 10.0), (8, 1.0)], 9)
    assert "trial, logarithmic scale" in lines[-1]
    middle = next(i for i, line in enumerate(lines) if "└─" in line)
    assert middle in (HEIGHT // 2 - 1, HEIGHT // 2)
    assert "logarithmic" not in chart([(0, 4.0), (4, 1.0)], 9)[-1]
    assert "logarithmic" not in chart([(0, 4.0), (4, -1.0)], 9)[-1]


def test_trials_before_the_first_value_are_empty():
    lines = chart([(5, 2.0), (10, 1.0)], 11, width=50)
    assert lines[0].removeprefix("  2 ┤").startswith(" " * 20 + " ")


@pytest.mark.parametrize("width", [40, 79, 80, 120, 500])
@pytest.mark.parametrize("trials", [8, 64, 1000, 123456])
def test_it_fits_its_terminal_and_no_more_than_80_columns(width, trials):
    lines = chart([(0, 12.345678), (3, 1.2e-7), (trials - 1, 1e-9)], trials, width=width)
    assert len(lines) == HEIGHT + 2
    assert max(map(len, lines)) <= min(width, 80)
    assert lines[-1].endswith(str(trials - 1))


def test_an_encoding_without_lines_has_them_in_ascii():
    plain = chart([(0, 2.0), (10, 1.0)], 21, encoding="ascii")
    assert all(line.isascii() for line in plain)
    assert plain[0].startswith("  2 +---") and plain[0].endswith("-+")
    assert [len(line) for line in plain] == [len(line) for line in chart([(0, 2.0), (10, 1.0)], 21)]


@pytest.mark.parametrize(
    ("steps", "trials", "width"),
    [([(0, 2.0), (3, 1.0)], 7, 80), ([(0, 2.0)], 64, 80), ([], 64, 80), ([(0, 2.0), (3, 1.0)], 64, 39)],
    ids=["few trials", "never bettered", "no value", "a narrow terminal"],
)
def test_where_there_is_little_to_see_there_is_none(steps, trials, width):
    assert chart(steps, trials, width=width) == []


QUICK = {"--trials": 8, "--max-epochs": 1, "--scheduler": "none", "--executor": "lanes", "--tracking": "offline"}


def test_quiet_leaves_the_chart_and_the_progress_out_and_nothing_else(tmp_path):
    where = ("--home", tmp_path, "--name", "mine")
    given = (str(word) for pair in QUICK.items() for word in pair)
    printed = invoke("run", "regularization", *where, *given, "--no-confirm", "--quiet").output
    assert "searching mine: 8 trials on digits" in printed
    assert "trials ended" not in printed
    assert "progress   the best" not in printed
    assert "mine: 8 trials: " in printed and "best val_loss" in printed
    more = invoke("extend", "mine", "--home", tmp_path, "--trials", 2, "--quiet").output
    assert "10 trials" in more
    assert "progress   the best" not in more
    assert "progress   the best" in invoke("show", "mine", "--home", tmp_path).output


def test_the_answer_has_it_below_its_table_and_json_has_the_trials(tmp_path):
    record_study(tmp_path, "mine", trials=24, epochs=9)
    printed = invoke("show", "mine", "--home", tmp_path).stdout
    assert "progress   the best val_loss so far over 24 trials, bettered 2 times\n\n   0.1363 ┤──" in printed
    found = invoke("show", "mine", "--home", tmp_path, "--json").stdout
    assert '"improvements": [[0, 0.136' in found
    assert "┤" not in found
