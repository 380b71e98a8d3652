"""The lines about checkpoints that end an answer."""

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from search.face.present import kept_lines, say_words
from search.report.answer import Answer, Entry
from search.report.confirmation import Confirmation, Standing
from search.report.kept import Kept, kept_on_disk
from trainables.checkpoint_store import CheckpointStore


def found(state="COMPLETE"):
    best = None if state is None else Entry(7, 0.1, 2, 3, state, "max_epochs", {}, {})
    return Answer("s", "loose", "val_loss", "min", 1, {}, best, None, (), 3, 0, {})


NEITHER = {"why_not": None, "recommended_model": None}


def recommending(trial):
    """Return a confirmation that recommends a trial."""
    baseline = Standing(0, {}, 0.2, {})
    return Confirmation("", "", trial, "val_loss", "min", 2, 2, 0.05, baseline, (), 0.0, None, 1, 1)


BEST = Path("/home/s/checkpoints/trial_00007/best.pt")


@pytest.mark.parametrize(
    ("state", "kept", "lines"),
    [
        (
            "COMPLETE",
            Kept(3, 0.0916, BEST),
            ["models     3 checkpoints kept, 0.09 MB", "best model /home/s/checkpoints/trial_00007/best.pt"],
        ),
        ("PRUNED", Kept(1, 12.0, BEST), ["models     1 checkpoint kept, 12.00 MB", f"best model {BEST}"]),
        (
            "CANCELLED",
            Kept(4, 1.0, BEST),
            ["models     4 checkpoints kept, 1.00 MB", f"best model {BEST}; as of the trial's last checkpoint"],
        ),
        (
            "FAILED",
            Kept(2, 1.0, None),
            [
                "models     2 checkpoints kept, 1.00 MB",
                "           the best model is not among them (trial 7, FAILED)",
            ],
        ),
        (None, Kept(2, 1.0, None), ["models     2 checkpoints kept, 1.00 MB"]),
        ("COMPLETE", Kept(0, 0.0, None), ["models     none kept"]),
    ],
)
def test_the_size_report_says_what_is_there(state, kept, lines):
    assert kept_lines(found(state), kept) == lines


@pytest.mark.parametrize(("can_refit", "more"), [(True, "; `export --refit` trains one on all"), (False, "")])
def test_a_refit_is_advised_where_it_can_be_made(can_refit, more):
    folded = replace(found(), folds=3)
    lines = kept_lines(folded, Kept(1, 1.0, BEST), can_refit=can_refit)
    assert lines[-1] == f"           as fold 1 of 3 trained it{more}"


def test_the_disk_is_what_counts(tmp_path):
    best = found()
    assert kept_on_disk(tmp_path / "absent", best) == Kept(0, 0.0, None)
    store = CheckpointStore(tmp_path)
    store.save(3, {"epoch": 1})
    assert kept_on_disk(tmp_path, best).best_model is None
    store.save_best(7, {"epoch": 1})
    size = sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file())
    kept = kept_on_disk(tmp_path, best)
    assert kept == Kept(2, size / 1e6, tmp_path / "trial_00007" / "best.pt")
    assert kept.to_dict() == {"kept": 2, "size_mb": size / 1e6, "best_model": str(kept.best_model), **NEITHER}
    assert kept_on_disk(tmp_path, found(None)).best_model is None
    assert Kept(0, 0.0, None).to_dict()["best_model"] is None


@pytest.mark.parametrize(
    ("recommended", "which"), [(0, "the baseline's, trial 0, is recommended"), (4, "that of trial 4 is recommended")]
)
def test_the_recommended_model_is_named_where_it_is_not_the_best_of_the_search(tmp_path, recommended, which):
    answer = replace(found(), confirmation=recommending(recommended))
    store = CheckpointStore(tmp_path)
    store.save_best(7, {"epoch": 1})
    *_, note, missing = kept_lines(answer, kept_on_disk(tmp_path, answer))
    assert note == f"           it is the best of the search, trial 7; {which}"
    assert missing == "           its model is not kept"
    store.save_best(recommended, {"epoch": 1})
    kept = kept_on_disk(tmp_path, answer)
    assert kept_lines(answer, kept)[1:] == [
        f"best model {store.best_path(7)}",
        note,
        f"recommended model {store.best_path(recommended)}",
    ]
    assert kept.to_dict()["recommended_model"] == str(store.best_path(recommended))


def test_the_recommended_model_is_no_second_line_where_it_is_the_best(tmp_path):
    answer = replace(found(), confirmation=recommending(7))
    CheckpointStore(tmp_path).save_best(7, {"epoch": 1})
    kept = kept_on_disk(tmp_path, answer)
    assert kept.recommended_model == kept.best_model and len(kept_lines(answer, kept)) == 2


def test_a_broken_line_goes_on_beside_its_label():
    console = Console(width=30, force_terminal=True)
    with console.capture() as seen:
        say_words(console, "data       240 train, 80 validation, 80 test")
        say_words(console, "           warning: dropped, a text: 'notes'")
        say_words(console, "best val_loss 0.16639 (trial 2), baseline 0.4")
    assert seen.get().splitlines() == [
        "data       240 train, 80",
        "           validation, 80 test",
        "           warning: dropped, a",
        "           text: 'notes'",
        "best val_loss 0.16639 (trial",
        "2), baseline 0.4",
    ]
