import hashlib
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables import checkpoint
from trainables.errors import CheckpointError, CheckpointWriteError

STATE = {
    "epoch": 3,
    "model": {"weight": torch.arange(6.0).view(2, 3), "steps": torch.tensor(7)},
    "rates": [0.1, 0.2],
    "best": float("inf"),
    "name": None,
    "flag": True,
}

FULL_DISK = """
import resource, sys, torch
from pathlib import Path
from trainables import checkpoint
path = Path(sys.argv[1])
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    checkpoint.save({"x": torch.ones(100_000)}, path)
except OSError as error:
    print(f"OSError: {error}")
    sys.exit(7)
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "deep" / "folder" / checkpoint.FILE
    checkpoint.save(STATE, path)
    return path


def write_with_hash(path, data):
    path.write_bytes(data)
    path.with_name(path.name + ".sha256").write_text(hashlib.sha256(data).hexdigest() + "\n")


def assert_is_state(loaded):
    assert loaded.keys() == STATE.keys()
    assert torch.equal(loaded["model"]["weight"], STATE["model"]["weight"])
    assert {k: v for k, v in loaded.items() if k != "model"} == {k: v for k, v in STATE.items() if k != "model"}


def test_a_checkpoint_loads_as_it_was_saved(path):
    assert_is_state(checkpoint.load(path))


def test_the_hash_beside_it_is_that_of_the_file_and_is_returned(path):
    digest = checkpoint.save(STATE, path)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.with_name("trial.pt.sha256").read_text() == digest + "\n"


def test_saving_a_checkpoint_leaves_no_other_file_behind(path):
    checkpoint.save({"epoch": 4}, path)
    assert sorted(p.name for p in path.parent.iterdir()) == ["trial.pt", "trial.pt.sha256"]
    assert checkpoint.load(path) == {"epoch": 4}


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_checkpoint_is_reported(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(
        CheckpointError, match=r"checkpoint .*trial\.pt is damaged: its sha256 is not the one beside it"
    ):
        checkpoint.load(path)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75, 0.999])
@pytest.mark.parametrize("bit", [0, 7])
def test_one_flipped_bit_of_a_checkpoint_is_reported(path, share, bit):
    data = bytearray(path.read_bytes())
    data[int(len(data) * share)] ^= 1 << bit
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="is damaged"):
        checkpoint.load(path)


def test_an_absent_file_and_an_absent_hash_are_reported(path):
    with pytest.raises(CheckpointError, match=r"absent\.pt cannot be read: .*No such file"):
        checkpoint.load(path.with_name("absent.pt"))
    path.with_name("trial.pt.sha256").unlink()
    with pytest.raises(CheckpointError, match=r"trial\.pt cannot be read: .*No such file.*sha256"):
        checkpoint.load(path)


@pytest.mark.parametrize("text", ["", "0" * 64, "trial.pt"])
def test_a_damaged_hash_of_a_checkpoint_is_reported(path, text):
    path.with_name("trial.pt.sha256").write_text(text)
    with pytest.raises(CheckpointError, match="is damaged"):
        checkpoint.load(path)


def test_a_checkpoint_whose_hash_is_no_text_is_reported(path):
    path.with_name("trial.pt.sha256").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoint.load(path)


def test_a_crash_between_hash_and_file_is_reported_and_never_passes_for_whole(path, tmp_path):
    newer = tmp_path / "newer.pt"
    checkpoint.save({"epoch": 4}, newer)
    newer.with_name("newer.pt.sha256").replace(path.with_name("trial.pt.sha256"))
    with pytest.raises(CheckpointError, match="is damaged"):
        checkpoint.load(path)


@pytest.mark.parametrize("content", [{"format": 99, "epoch": 1}, {"epoch": 1}, [1, 2], 7])
def test_a_checkpoint_of_another_format_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "x.pt")
    write_with_hash(tmp_path / "x.pt", (tmp_path / "x.pt").read_bytes())
    found = content["format"] if isinstance(content, dict) and "format" in content else None
    with pytest.raises(CheckpointError, match=f"has format {found}, this version reads {checkpoint.FORMAT}"):
        checkpoint.load(tmp_path / "x.pt")


class Touches:
    """Unpickling this by the ordinary rules creates a file."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("write", [torch.save, lambda state, path: path.write_bytes(pickle.dumps(state))])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path, write):
    target = tmp_path / "ran"
    write({"format": checkpoint.FORMAT, "x": Touches(target)}, tmp_path / "x.pt")
    write_with_hash(tmp_path / "x.pt", (tmp_path / "x.pt").read_bytes())
    with pytest.raises(CheckpointError, match="cannot be unpickled safely"):
        checkpoint.load(tmp_path / "x.pt")
    assert not target.exists()


@given(st.binary(max_size=64) | st.binary(max_size=64).map(lambda b: pickle.dumps({"format": 1}) + b))
def test_bytes_of_any_kind_with_a_matching_hash_never_raise_anything_else(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "x.pt"
    write_with_hash(path, data)
    with pytest.raises(CheckpointError, match=r"x\.pt (cannot be unpickled safely|has format)"):
        checkpoint.load(path)


@pytest.mark.parametrize("limit", [0, 1_000, 200_000])
def test_a_full_disk_raises_and_leaves_the_previous_file_as_it_was(path, limit):
    # A real limit of the kernel on the size of a file: each write beyond it fails, as on a full disk.
    before = path.read_bytes()
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), str(limit)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 7, run.stderr
    assert run.stdout.startswith("OSError: ")
    assert path.read_bytes() == before
    assert_is_state(checkpoint.load(path))
    assert sorted(p.name for p in path.parent.iterdir()) == ["trial.pt", "trial.pt.sha256"]


def test_a_folder_without_permission_raises_and_keeps_the_previous_file(path, unprivileged):
    path.parent.chmod(0o500)
    try:
        with unprivileged(), pytest.raises(CheckpointWriteError, match=r"cannot be written: Permission denied"):
            checkpoint.save(STATE, path)
    finally:
        path.parent.chmod(0o700)
    assert_is_state(checkpoint.load(path))


def test_a_state_that_cannot_be_saved_leaves_the_previous_file_as_it_was(path):
    with pytest.raises((pickle.PicklingError, AttributeError)):
        checkpoint.save({"x": lambda: None}, path)
    assert_is_state(checkpoint.load(path))
    assert sorted(p.name for p in path.parent.iterdir()) == ["trial.pt", "trial.pt.sha256"]
