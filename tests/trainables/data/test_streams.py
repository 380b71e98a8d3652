"""A function's datasets that are larger than memory: read a batch at a time, in an order that the seed decides."""

import dataclasses
import multiprocessing
import random
import signal
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from trainables.config import MlpConfig
from trainables.data import DataSpec, dataset_source, datasets, load_splits, load_test
from trainables.data.dataset_inputs import DatasetInputs
from trainables.data.datasets import load_pair
from trainables.data.splits import fingerprint
from trainables.errors import DataError
from trainables.loop import TrainingRun, fit
from trainables.stream_data import place_examples

CPU = torch.device("cpu")

MODULE = """
import os
import random
import numpy as np
import torch
from torch.utils.data import Dataset

READ = []

class Rows(Dataset):
    def __init__(self, first, rows, noise=0.0, spoil=None):
        self.first, self.rows, self.noise, self.spoil = first, rows, noise, spoil

    def __len__(self):
        return self.rows

    def __getitem__(self, number):
        READ.append(number)
        x = np.random.default_rng(self.first + number).normal(3, 2, 4).astype(np.float32)
        y = int(x[0] > 3)
        if self.noise:
            x = x + self.noise * (torch.randn(4).numpy() + np.random.randn(4) + random.gauss(0, 1))
        if self.spoil is not None and number == 71:
            return self.spoil(x, y)
        return x, y

class Named(Rows):
    classes = ["low", "high"]

class Pictures(Rows):
    def __getitem__(self, number):
        x, y = super().__getitem__(number)
        return np.full((5, 6, 3), x[0]) + np.arange(3), y

def plain(): return Rows(0, 100), Rows(100, 40), Rows(140, 30)
def two(): return Rows(0, 100), Rows(100, 40)
def noisy(): return Rows(0, 100, noise=0.3), Rows(100, 40, noise=0.3), Rows(140, 30)
def named(): return Named(0, 100), Rows(100, 40)
def pictures(): return Pictures(0, 40), Pictures(40, 20), Pictures(60, 20)
def numbers():
    def real(x, y): return x, float(x.sum())
    class Numbers(Rows):
        def __getitem__(self, number): return real(*super().__getitem__(number))
    return Numbers(0, 100), Numbers(100, 40)
def empty(): return Rows(0, 0), Rows(0, 40)
def own(): return plain()
own.fingerprint = "rows, version 1"

def fails(x, y): raise OSError("71.png is damaged")
def raising(): return Rows(0, 100, spoil=fails), Rows(100, 40)
def unequal(): return Rows(0, 100, spoil=lambda x, y: (x[:3], y)), Rows(100, 40)
def targetless(): return Rows(0, 100, spoil=lambda x, y: (x, None)), Rows(100, 40)
def lone(): return Rows(0, 100, spoil=lambda x, y: x), Rows(100, 40)
def infinite(): return Rows(0, 100, spoil=lambda x, y: (x / 0, y)), Rows(100, 40)
def missing(): return Rows(0, 100, spoil=lambda x, y: (x, float("nan"))), Rows(100, 40)
def exiting(): return Rows(0, 100, spoil=lambda x, y: os._exit(3)), Rows(100, 40)
class Endless(Rows):
    def __len__(self): return 1.5
def endless(): return Endless(0, 100), Endless(100, -1)
"""


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "streamed_mine.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(dataset_source, "_opened", {})
    datasets._load.cache_clear()  # of a test before, whose function has the same name
    monkeypatch.delitem(__import__("sys").modules, "streamed_mine", raising=False)
    import streamed_mine

    return streamed_mine


def spec_of(function, **fields):
    return DataSpec(function, source="stream", function=f"streamed_mine:{function}", **fields)


def run_of(splits, *, seed=7):
    config = MlpConfig(max_epochs=4, hidden=(8,), dropout=0.3, batch_norm=True, batch_size=16, learning_rate=0.02)
    return TrainingRun(config, place_examples(splits, CPU), seed=seed, device=CPU)


def curve(splits, **options):
    return [dict(report.metrics) for report in fit(run_of(splits, **options))]


def raw(dataset):
    return np.stack([dataset[i][0] for i in range(len(dataset))])


def test_a_stream_has_the_examples_of_the_datasets_standardised_by_the_training_part(module):
    splits, (train, val, test) = load_splits(spec_of("plain")), module.plain()
    assert isinstance(splits.train.x, DatasetInputs)
    assert (splits.shape, splits.classes, splits.test_examples) == ((4,), 2, 30)
    x = raw(train).astype(np.float64)
    for part, dataset in ((splits.train, train), (splits.val, val), (load_test(splits.spec), test)):
        expected = (raw(dataset) - x.mean(0)) / x.std(0)
        assert np.abs(part.x[:] - expected).max() < 1e-5  # float32 of numbers up to 5
        assert part.y.tolist() == [dataset[i][1] for i in range(len(dataset))]
    said = {notice.kind: notice.text for notice in splits.notices}
    assert said["streamed"].startswith("streamed: 0.0 MiB of examples")
    assert "64 of each part" in said["stream_fingerprint"]


def test_pictures_are_centred_pixel_by_pixel_and_scaled_by_one_deviation(module):
    splits = load_splits(spec_of("pictures"))
    x = raw(module.pictures()[0]).transpose(0, 3, 1, 2)
    assert splits.shape == (3, 5, 6)
    assert np.abs(splits.train.x[:] - (x - x.mean(axis=0)) / x.std()).max() < 1e-5  # float32 of numbers up to 5


def test_where_there_is_no_test_part_it_is_cut_from_train_and_teaches_nothing():
    splits = load_splits(spec_of("two"))
    assert (len(splits.train), len(splits.val), splits.test_examples) == (80, 40, 20)
    assert np.abs(splits.train.x[:].mean(axis=0)).max() < 1e-6


def test_classes_have_the_names_that_the_dataset_gives():
    assert load_splits(spec_of("named")).labels == ("high", "low")


def test_a_number_is_standardised():
    splits = load_splits(spec_of("numbers"))
    assert splits.scale is not None
    assert abs(splits.train.y.mean()) < 1e-6


@pytest.mark.parametrize("function", ["plain", "noisy"])
def test_the_curve_depends_on_the_seed_and_not_on_who_reads(function):
    alone = load_splits(spec_of(function))
    ahead = load_splits(spec_of(function, workers_per_trial=2))
    assert alone.fingerprint == ahead.fingerprint
    assert curve(alone) == curve(ahead)
    assert curve(alone) == curve(alone) != curve(alone, seed=8)


def test_a_random_transform_draws_anew_each_epoch_and_validates_the_same():
    data = place_examples(load_splits(spec_of("noisy")), CPU)
    batches = [torch.arange(8)]
    first, again, later = (next(data.training_batches(batches, epoch=e, seed=1)) for e in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    a, b = (torch.cat(list(data.validation_batches())) for _ in range(2))
    assert torch.equal(a, b)


def test_a_run_goes_on_where_it_was_bit_for_bit():
    splits = load_splits(spec_of("noisy"))
    whole = curve(splits)
    begun = run_of(splits)
    for _ in range(2):
        begun.step()
    rest = run_of(splits)
    rest.load_state_dict(begun.state_dict())
    assert [dict(report.metrics) for report in fit(rest)] == whole[2:]


def test_reading_leaves_the_global_generators_as_they_were():
    splits = load_splits(spec_of("noisy"))
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    splits.train.x[np.arange(5)]
    after = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("function", "line"),
    [
        ("raising", r"item 71 of train failed: OSError: 71.png is damaged \(streamed_mine.py, line \d+\)"),
        ("unequal", r"item 71 of train has the shape \(3,\), the first \(4,\); resize them in a transform"),
        ("targetless", r"y of data streamed_mine:targetless: item 71 of train is missing; expected numbers"),
        ("lone", r"item 71 of train is a ndarray; expected \(x, y\)"),
        ("infinite", r"item 71 of train: 4 of 4 numbers are NaN or infinite; fill them"),
        ("missing", r"1 of 140 targets are missing; leave their examples out"),
        ("empty", r"a part is empty: \(0, 40\) examples"),
        ("nowhere", r"streamed_mine has no 'nowhere'"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_what_cannot_be_read_is_named_in_one_line(function, line, workers):
    with pytest.raises(DataError, match=line) as caught:
        load_splits(spec_of(function, workers_per_trial=workers))
    assert len(caught.value.errors) == 1
    assert "\n" not in caught.value.errors[0]


def test_every_part_without_a_length_is_said():
    with pytest.raises(DataError) as caught:
        load_splits(spec_of("endless"))
    assert [line.split(": ")[1] for line in caught.value.errors] == ["train", "val"]
    assert "the length of the Endless failed: TypeError: 'float' object cannot be" in caught.value.errors[0]


def test_a_process_that_ends_while_it_reads_ahead_is_said_in_one_line():
    with pytest.raises(DataError, match="a process that read items ahead ended before it had read them") as caught:
        load_splits(spec_of("exiting", workers_per_trial=1))
    assert len(caught.value.errors) == 1


def test_who_reads_ahead_for_a_thread_of_a_pool_ends_well_and_the_main_thread_hears_nothing(monkeypatch):
    splits, started = load_splits(spec_of("plain", workers_per_trial=2)), []
    start = multiprocessing.Process.start

    def noting(process):
        started.append(process)
        start(process)

    monkeypatch.setattr(multiprocessing.Process, "start", noting)
    before = signal.getsignal(signal.SIGCHLD)
    with ThreadPoolExecutor(1) as pool:
        assert (
            len(pool.submit(lambda: list(splits.train.x.batches([np.arange(4), np.arange(9)], seed=0))).result()) == 2
        )
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0, 0]
    assert signal.getsignal(signal.SIGCHLD) is before


def tear(file):
    file.write_bytes(file.read_bytes()[:100])


def shorten(held):
    return {**held, "y": held["y"][:3]}


def unsettle(held):
    return {**held, "mean": held["mean"] * np.nan}


def reshape(held):
    return {**held, "mean": held["mean"][:2]}


def rewritten(change):
    def rewrite(file):
        with np.load(file) as held:
            changed = change(dict(held))
        np.savez(file, **changed)

    return rewrite


@pytest.mark.parametrize("damage", [tear, *map(rewritten, (shorten, unsettle, reshape))])
def test_a_pass_whose_file_is_damaged_is_made_again_and_said(tmp_path, module, damage):
    spec = spec_of("own", fingerprint=module.own.fingerprint)
    whole = load_splits(spec).fingerprint
    (file,) = (tmp_path / "cache" / "lanewise" / "streams").iterdir()
    damage(file)
    again = load_splits(dataclasses.replace(spec, name="again"))
    assert again.fingerprint == whole
    (said,) = [notice.text for notice in again.notices if notice.kind == "stream_pass"]
    assert said.startswith("read again, as what was kept of an earlier pass was damaged (") and str(file) in said
    third = load_splits(dataclasses.replace(spec, name="third"))
    assert not any(notice.kind == "stream_pass" for notice in third.notices)


def test_a_pass_that_cannot_be_kept_is_said_with_its_file(tmp_path, module):
    spec = spec_of("own", fingerprint=module.own.fingerprint)
    load_splits(spec)
    (file,) = (tmp_path / "cache" / "lanewise" / "streams").iterdir()
    file.unlink()
    file.mkdir()
    again = load_splits(dataclasses.replace(spec, name="again"))
    said = [notice.text for notice in again.notices if notice.kind == "stream_pass"]
    assert said[-1] == f"read anew by the next session: this pass cannot be kept in {file} (Is a directory)"


def test_a_fingerprint_of_the_functions_own_saves_the_pass(module, monkeypatch):
    spec = spec_of("own", fingerprint=module.own.fingerprint)
    begun = load_splits(spec)
    assert len(module.READ) >= 170
    module.READ.clear()
    again = load_splits(dataclasses.replace(spec, name="again"))
    assert again.fingerprint == begun.fingerprint
    assert len(module.READ) < 5  # the first, which tells the shape
    monkeypatch.setattr(module.own, "fingerprint", "version 2")
    other = load_splits(spec)  # what the function says now counts, not what was declared
    assert other.fingerprint != begun.fingerprint
    assert any(notice.text == "fingerprint: the function's own, 'version 2'" for notice in other.notices)


def test_a_fingerprint_that_fails_later_is_said_in_a_line(module, monkeypatch):
    monkeypatch.setattr(module.own, "fingerprint", 3)
    with pytest.raises(DataError, match="its fingerprint is 3; expected a text, or what returns one"):
        load_splits(spec_of("own", fingerprint="rows, version 1"))


def test_other_examples_have_another_fingerprint(module, monkeypatch):
    before = load_splits(spec_of("plain")).fingerprint
    monkeypatch.setattr(dataset_source, "_opened", {})
    monkeypatch.setattr(module, "plain", lambda: (module.Rows(1, 100), module.Rows(100, 40), module.Rows(140, 30)))
    assert load_splits(spec_of("plain", memory_mb=0)).fingerprint != before


def test_a_pair_scores_what_trained_the_search_and_chose_nothing():
    spec = spec_of("plain")
    splits, pair = load_splits(spec), load_pair(spec, seed=4)
    trained = set(splits.train.x.indices.tolist())
    assert set(pair.scored.x.indices.tolist()) <= trained
    assert not set(pair.scored.x.indices.tolist()) & set(pair.splits.train.x.indices.tolist())
    assert len(pair.splits.train) == len(splits.train)
    assert fingerprint(pair.test) == fingerprint(load_test(spec))
