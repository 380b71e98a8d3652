"""``search report``: what it writes of studies that are confirmed, unfinished, empty, or hold texts that bite."""

import io
import re

import numpy as np
import pandas as pd
import pytest
from optuna.distributions import FloatDistribution
from typer.testing import CliRunner

from benchmarks.report_page import record_study
from search import UsageError, load
from search.commands.verbs import app
from search.ledger import Ledger
from search.ledger.outcome import SessionEnding
from search.report.figures.slices import slice_of
from search.report.page.markdown import escaped
from search.report.page.summary import description
from spaces import Parameter
from tests.support.command import invoke

BITING = '<script>alert(1)</script><img src=x onerror=alert(2)> </script> | `x` & "y"'


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    notice = {"kind": "odd", "text": f"column {BITING}", "count": None, "names": [], "warning": True}
    record_study(folder, "mine", trials=24, epochs=9, notices=[notice], question=BITING)
    record_study(folder, "cut-short", trials=4, epochs=4, ending=SessionEnding.INTERRUPTED)
    return folder


def errors_of(*arguments):
    done = CliRunner().invoke(app, [str(a) for a in arguments], standalone_mode=False)
    return done.exception.errors


def written(home, name, ending):
    invoke("report", name, "--home", home, "--out", home / f"{name}.{ending}")
    return (home / f"{name}.{ending}").read_bytes()


def test_the_page_lies_in_the_studys_folder_unless_another_file_is_named(home):
    said = invoke("report", "mine", "--home", home).stdout
    page = home / "mine" / "report.html"
    assert said.startswith(f"report     {page} (")
    assert page.stat().st_size < 10e6
    assert page.read_text().startswith("<!doctype html>")
    assert not list(page.parent.glob(".report*")), "nothing half-written is left"


def test_an_unconfirmed_study_is_said_to_be_one_with_the_command(home):
    text = written(home, "mine", "md").decode()
    assert "**Not confirmed: val\\_loss" in text
    assert f"python -m search confirm mine --home {home}" in text
    for title in ("Leaderboard", "Learning curves", "Parameters", "Data", "Cost by outcome", "Reproduce", "Versions"):
        assert f"\n## {title}\n" in text
    assert "python -m search show mine" in text
    assert "kind: regularization" in text


def test_an_unfinished_study_is_said_to_be_one(home):
    text = written(home, "cut-short", "md").decode()
    assert "This study is not finished (interrupted)" in text
    assert f"python -m search resume cut-short --home {home}" in text


def test_no_text_of_a_user_becomes_markup(home):
    page = written(home, "mine", "html").decode()
    assert BITING not in page
    assert page.count("alert(1)") == page.count("&lt;script&gt;alert(1)") + page.count("\\u003cscript>alert(1)")
    text = written(home, "mine", "md").decode()
    assert "<script>" not in re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def test_the_page_names_no_address_to_load_from(home):
    page = written(home, "mine", "html").decode()
    assert "default-src 'none'" in page
    own = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r"(?:src|href)=[\"'](?!#|data:)", own)


def test_tables_for_other_programs_have_every_trial(home):
    table = pd.read_csv(io.BytesIO(written(home, "mine", "csv")))
    assert len(table) == 24
    assert table["rank"].tolist() == list(range(1, 25))
    assert {"number", "state", "best_val_loss", "metric_train_loss", "params_dropout", "seed"} <= set(table)
    typed = pd.read_parquet(io.BytesIO(written(home, "mine", "parquet")))
    assert typed["best_val_loss"].tolist() == pytest.approx(table["best_val_loss"].tolist())
    assert typed["number"].tolist() == table["number"].tolist()


def test_whatever_is_wrong_is_said_at_once_in_a_line_each(home):
    lines = errors_of("report", "minne", "--home", home, "--format", "pdf", "--out", home / "no" / "x.html")
    assert len(lines) == 3
    assert lines[0] == "--format must be one of html, md, csv, parquet, got 'pdf'"
    assert lines[1].endswith(f"there is no folder {home / 'no'}")
    assert "no study 'minne'" in lines[2]
    assert "mine" in lines[2]
    (ending,) = errors_of("report", "mine", "--home", home, "--out", home / "x.pdf")
    assert "does not say what to write" in ending
    (folder,) = errors_of("report", "mine", "--home", home, "--out", home)
    assert f"{home} is a folder; name a file in it" in folder


def test_a_study_without_a_finished_trial_is_refused(home):
    paths = record_study(home, "begun", trials=1, epochs=3, ending=SessionEnding.INTERRUPTED)
    with Ledger(paths.ledger_url) as ledger:
        with ledger.writing() as connection:
            connection.exec_driver_sql("UPDATE trials SET state = 'INTERRUPTED', stop_reason = NULL")
    (line,) = errors_of("report", "begun", "--home", home)
    assert line.startswith("no trial of begun has ended")
    assert f"python -m search resume begun --home {home}" in line


def test_a_result_of_python_writes_its_report_and_shows_itself_in_a_notebook(home, tmp_path):
    result = load("mine", home=home)
    page = result.report(tmp_path / "mine.html")
    assert page.read_bytes() == written(home, "mine", "html")
    assert result.report(tmp_path / "mine.md").read_text() == written(home, "mine", "md").decode()
    with pytest.raises(UsageError, match=r"a report ends in \.html, \.md, \.csv, \.parquet"):
        result.report(tmp_path / "mine.pdf")
    shown = result._repr_html_()
    assert "<strong>mine</strong>" in shown
    assert shown.count("<tr>") == 1 + len(result.answer.top)
    assert "not yet confirmed" in shown


def test_the_description_in_mlflow_has_the_question_the_verdict_and_a_table(home):
    result = load("mine", home=home)
    text = description(result.study, result.answer)
    assert text.startswith(escaped(BITING))
    assert "not yet confirmed" in text
    assert text.count("\n|") == 2 + len(result.answer.top)


def test_a_table_of_ranges_begins_at_the_least_value():
    values = np.geomspace(1.94e-4, 0.1, 12)
    board = pd.DataFrame(
        {"number": range(12), "value": np.linspace(1, 2, 12), "params": [{"lr": float(v)} for v in values]}
    ).assign(state="COMPLETE", stop_reason="max_epochs")
    figure = slice_of(
        board, Parameter("lr", FloatDistribution(1e-4, 0.1, log=True), 0.01), "val_loss", 0, ascending=True
    )
    rows = figure.table.rows
    assert [rows[0][0].split(" to ")[0], rows[-1][0].split(" to ")[1]] == ["0.000194", "0.1"]
    assert [row[0].split(" to ")[1] for row in rows[:-1]] == [row[0].split(" to ")[0] for row in rows[1:]]
    assert sum(row[1] for row in rows) == 12
