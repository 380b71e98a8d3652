"""``search compare``: studies side by side, whose answer is better, and what cannot be compared."""

import json
import random

import pytest
from scipy import stats
from typer.testing import CliRunner

import search
from benchmarks.report_page import record_study
from search import UsageError
from search.commands.verbs import app
from search.ledger import FitRole, FitRow, Ledger, LedgerWriter
from search.ledger.events import ConfirmBegun
from search.ledger.outcome import TrialState
from search.report.paired import interval
from search.report.unpaired import unpaired
from tests.support.command import invoke

PAIRS = 6
SMALL = {"hidden": "32"}
EXAMPLES = {"train_examples": 1079, "scored_examples": 179}


def confirm(paths, *, gain, noise=0.01, seed=0, pairs=PAIRS):
    """Record a confirmation of the two best trials, better than the baseline by ``gain``, in a moment."""
    rng = random.Random(seed)
    best = [t for t in search.load(paths.name, home=paths.home).leaderboard["number"] if t != 0][:2]
    with Ledger(paths.ledger_url) as ledger:
        study_id = ledger.study(paths.name).id
        writer = LedgerWriter(ledger, study_id)
        writer.event(ConfirmBegun(finalists=tuple(map(int, best)), pairs=pairs))
        writer.flush()
        hard = [random.Random(pair).gauss(0, 0.2) for pair in range(pairs)]  # of a pair, whoever trains on it
        for trial in ledger.trials(study_id):
            if trial.number not in (0, *best):
                continue
            level = 0.8 - (gain if trial.number == best[0] else gain / 2 if trial.number else 0.0)
            fits = [
                FitRow(
                    role=FitRole.CONFIRM,
                    trial=trial.number,
                    config_hash=trial.config_hash,
                    params=trial.params,
                    seed=pair,
                    split=pair,
                    epochs=3,
                    state=TrialState.COMPLETE,
                    reason=None,
                    message=None,
                    metrics={"val_loss": level + hard[pair] + rng.gauss(0, noise)},
                    seconds=0.1,
                    started_at=0.0,
                    ended_at=1.0,
                    **EXAMPLES,
                )
                for pair in range(pairs)
            ]
            ledger.add_fits(study_id, fits)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    confirm(record_study(folder, "good", trials=12, epochs=4), gain=0.5, seed=1)
    confirm(record_study(folder, "fair", trials=8, epochs=4, sampler="random", settings=SMALL), gain=0.4, seed=2)
    confirm(record_study(folder, "other-seed", trials=8, epochs=4, seed=9, settings=SMALL), gain=0.4, seed=3)
    record_study(folder, "unconfirmed", trials=6, epochs=4)
    accuracy = {"metric": "val_accuracy", "mode": "max"}
    record_study(folder, "by-accuracy", trials=4, epochs=4, objective=accuracy)
    with Ledger(record_study(folder, "other-data", trials=4, epochs=4).ledger_url) as ledger:
        with ledger.writing() as connection:
            connection.exec_driver_sql(f"UPDATE studies SET fingerprint = '{'0' * 64}'")
    return folder


def compared(home, *names):
    return json.loads(invoke("compare", *names, "--home", home, "--json").stdout)


def errors_of(home, *arguments):
    done = CliRunner().invoke(app, ["compare", "--home", str(home), *map(str, arguments)], standalone_mode=False)
    assert isinstance(done.exception, UsageError)
    return done.exception.errors


def test_studies_that_trained_on_the_same_pairs_are_compared_pair_by_pair(home):
    found = compared(home, "good", "fair")
    (beside,) = found["beside"]
    assert found["best"] == "good" == beside["better"]
    assert beside["paired"] and beside["pairs"] == [PAIRS, PAIRS]
    difference = beside["difference"]
    assert difference["low"] < -0.1 < difference["high"] < 0, "pairs differ by far more than the studies do"
    assert beside["sentence"].endswith(f"over the same {PAIRS} pairs")
    assert f"is better than trial {beside['trials'][1]} of fair" in beside["sentence"]
    assert compared(home, "fair", "good")["beside"][0]["difference"]["mean"] == pytest.approx(-difference["mean"])


def test_studies_of_other_seeds_have_pairs_of_their_own_and_a_wider_interval(home):
    (beside,) = compared(home, "good", "other-seed")["beside"]
    assert not beside["paired"] and beside["better"] is None
    assert beside["difference"]["low"] < 0 < beside["difference"]["high"]
    assert (
        "cannot be told apart" in beside["sentence"] and f"{PAIRS} and {PAIRS} pairs of their own" in beside["sentence"]
    )


def test_nothing_is_said_of_a_study_that_is_not_confirmed(home):
    found = compared(home, "good", "unconfirmed")
    assert (found["best"], found["beside"], found["unconfirmed"]) == (None, [], ["unconfirmed"])
    text = invoke("compare", "good", "unconfirmed", "--home", home).stdout
    assert "Not all of them are confirmed" in text
    assert f"to confirm unconfirmed: python -m search confirm unconfirmed --home {home}" in text


def test_three_studies_are_compared_two_by_two_with_corrected_p_values(home):
    found = compared(home, "good", "fair", "other-seed")
    assert [(b["first"], b["second"]) for b in found["beside"]] == [
        ("good", "fair"),
        ("good", "other-seed"),
        ("fair", "other-seed"),
    ]
    alone = compared(home, "good", "fair")["beside"][0]["difference"]
    among = found["beside"][0]["difference"]
    assert among["p"] == pytest.approx(3 * alone["p"]) and among["mean"] == alone["mean"]
    assert found["best"] is None, "it cannot be told from one of them"


def test_a_study_in_another_home_is_named_by_its_path(home, tmp_path):
    confirm(record_study(tmp_path, "good", trials=12, epochs=4), gain=0.5, seed=1)
    found = compared(home, "good", tmp_path / "good")
    assert [study["name"] for study in found["studies"]] == ["good", str(tmp_path / "good")]
    (beside,) = found["beside"]
    assert beside["same"] and beside["sentence"].endswith("are the same configuration")
    assert beside["better"] is None


def test_what_differs_what_it_cost_and_what_was_found_are_printed(home):
    text = invoke("compare", "good", "fair", "--home", home).stdout
    for words in (
        "good is better than the other: use its trial",
        "12 of 12: 8 pruned, 4 complete",
        "random, seed 0",
        "device-seconds",
        "learning_rate",
        "All 12 parameters have the same range in each.",
    ):
        assert words in text, words


def test_spaces_that_differ_are_shown_with_what_is_fixed(home, tmp_path):
    record_study(tmp_path, "narrow", trials=4, epochs=4, settings={"hidden": "32"})
    space = search.load("narrow", home=tmp_path).study.space
    fixed = {name: p for name, p in space.to_dict().items() if name != "dropout"}
    record_study(tmp_path, "fixed", trials=4, epochs=4, space=fixed, settings={"hidden": "32", "dropout": 0.1})
    found = compared(tmp_path, "narrow", "fixed")
    assert found["spaces"]["dropout"] == {"narrow": "0 .. 0.6", "fixed": "= 0.1"}
    assert "11 of 12 parameters have the same range" in invoke("compare", "narrow", "fixed", "--home", tmp_path).stdout


@pytest.mark.parametrize(
    ("names", "starts"),
    [
        (["good"], ["compare takes two studies or more, got 1"]),
        (["good", "good"], ["good is named 2 times"]),
        (["good", "goood"], ["no study 'goood' in "]),
        (["good", "other-data"], ["cannot be compared: good and other-data have not the same examples (digits ffff"]),
        (["good", "by-accuracy"], ["cannot be compared: good is ranked by val_loss, by-accuracy by val_accuracy"]),
        (
            ["good", "other-data", "by-accuracy", "nobody", "--out", "x.csv"],
            [
                "--out x.csv does not say what to write: end it in .html or .md",
                "no study 'nobody' in ",
                "cannot be compared: good and other-data have not",
                "cannot be compared: good is ranked by val_loss, by-accuracy by",
            ],
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_with_every_reason(home, names, starts):
    errors = errors_of(home, *names)
    assert len(errors) == len(starts)
    assert all(error.startswith(start) for error, start in zip(errors, starts, strict=True)), errors


def test_the_other_direction_is_a_reason(home, tmp_path):
    record_study(tmp_path, "up", trials=4, epochs=4, objective={"metric": "val_loss", "mode": "max"})
    (error,) = errors_of(home, "good", tmp_path / "up")
    assert error == "cannot be compared: val_loss is better the other way in up: min in good, max there"


def test_it_is_written_as_a_page_that_loads_nothing_and_as_markdown(home, tmp_path):
    page = tmp_path / "c.html"
    assert f"page       {page}" in invoke("compare", "good", "fair", "--home", home, "--out", page).stdout
    text = page.read_text()
    assert "default-src 'none'" in text and 'id="figure-beside"' in text
    assert "good is better than the other" in text.split("</section>")[0]
    invoke("compare", "good", "fair", "--home", home, "--out", tmp_path / "c.md")
    assert "**good is better than the other" in (tmp_path / "c.md").read_text()


def test_from_python_it_is_a_frame_and_a_notebooks_cell(home, tmp_path):
    found = search.compare("good", search.load("fair", home=home), home=home)
    assert found.best == "good" and len(found.sentences) == 1
    frame = found.frame
    assert frame["name"].tolist() == ["good", "fair"]
    assert frame["confirmed_mean"].notna().all() and {"device_seconds", "params_learning_rate"} <= set(frame)
    assert found._repr_html_().startswith("<div><strong>good is better than the other")
    assert found.report(tmp_path / "c.html").stat().st_size > 10_000
    with pytest.raises(UsageError, match=r"end it in \.html or \.md"):
        found.report(tmp_path / "c.txt")


def test_the_unpaired_interval_is_welchs_where_splits_share_no_examples():
    rng = random.Random(0)
    a, b = [rng.gauss(1, 1) for _ in range(7)], [rng.gauss(0, 3) for _ in range(5)]
    found, welch = unpaired(a, b, shares=(0, 0), level=0.05), stats.ttest_ind(a, b, equal_var=False)
    assert found.p == pytest.approx(welch.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(welch.confidence_interval(0.95)))
    wider = unpaired(a, b, shares=(0.2, 0.2), level=0.05)
    assert wider.high - wider.low > found.high - found.low
    paired = interval([x - y for x, y in zip(a, b, strict=False)], share=0.2)
    assert wider.mean != paired.mean


def test_the_unpaired_interval_needs_two_values_and_a_spread():
    assert unpaired([1.0], [2.0, 3.0], shares=(0, 0), level=0.05).p is None
    assert unpaired([1.0, 1.0], [2.0, 2.0], shares=(0, 0), level=0.05).low is None
