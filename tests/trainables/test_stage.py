"""What a process is doing: named by the work itself, innermost last, with how far it is."""

import time

import pytest

from trainables.stage import Stage, each, stage, stages


def named():
    return [one.what for one in stages()]


def test_stages_lie_in_each_other_and_end_with_what_they_are_of():
    before = named()
    with stage("searching"):
        with stage("reading the data"):
            assert named() == [*before, "searching", "reading the data"]
        assert named() == [*before, "searching"]
        with pytest.raises(ValueError, match="no"), stage("reading the data"):
            raise ValueError("no")
    assert named() == before


def test_what_takes_no_second_says_no_time():
    made = Stage("reading the data")
    assert made.line(made.began + 0.5) == "reading the data"
    assert made.line(made.began + 12) == "reading the data: 12 s"


def test_counted_work_says_how_much_is_done_and_about_how_long_the_rest_takes(monkeypatch):
    made = Stage("decoding images", total=12_000)
    assert made.line(made.began + 4) == "decoding images: 0 of 12,000, 4 s"
    for second in (4, 6, 8, 10):
        monkeypatch.setattr(time, "monotonic", lambda at=made.began + second: at)
        made.advance(1_000)
    assert made.line(made.began + 10) == "decoding images: 4,000 of 12,000, 10 s, about 16 s left"
    made.advance(8_000)
    assert made.line(made.began + 40) == "decoding images: 12,000 of 12,000, 40 s"


def test_a_share_that_was_done_before_tells_nothing_of_the_pace(monkeypatch):
    made = Stage("learning the weights")
    made.begin_at(0.5)
    for second, share in ((1, 0.55), (4, 0.65), (10, 0.9)):
        monkeypatch.setattr(time, "monotonic", lambda at=made.began + second: at)
        made.update(share, "val_accuracy 0.5")
    assert made.line(made.began + 10) == "learning the weights: 90%, val_accuracy 0.5, 10 s, about 3 s left"


def test_what_is_said_besides_may_be_asked_for_each_time():
    made, sent = Stage("sending"), []
    made.detail = lambda: f"{len(sent)} are there"
    sent.append("a run")
    assert made.line(made.began) == "sending: 1 are there"


def test_items_are_counted_as_they_are_taken():
    seen = [(item, stages()[-1].done, stages()[-1].total) for item in each([7, 8], "adding")]
    assert seen == [(7, 0, 2), (8, 1, 2)]
    assert [stages()[-1].total for _ in each(iter([7]), "adding", total=5)] == [5]
    assert "adding" not in named()
