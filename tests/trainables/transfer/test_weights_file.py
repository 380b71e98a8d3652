"""Weights as training scripts leave them are unwrapped and said, or refused in a line; nothing in them is run."""

import os
import zipfile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from trainables.errors import ConfigError
from trainables.transfer.weights_file import ALWAYS_BYTES, read_weights
from trainables.transfer.wrapped_state import HOLDERS, unwrap

STATE = {"conv1.weight": torch.ones(2), "layer1.0.conv1.weight": torch.zeros(3), "bn1.bias": torch.arange(4.0)}
PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "net.", "encoder_q.", "0.")
BESIDE = {"epoch": 3, "optimizer": {"state": {}}, "pytorch-lightning_version": "2.4", "hyper_parameters": {"lr": 0.1}}


@given(st.lists(st.sampled_from(PREFIXES), max_size=3), st.lists(st.sampled_from(HOLDERS), max_size=3), st.booleans())
@settings(max_examples=80, deadline=None)
def test_every_wrapping_is_undone_and_said(prefixes, holders, more):
    begin = "".join(prefixes)
    wrapped = {begin + name: tensor for name, tensor in STATE.items()}
    if begin and more:
        wrapped["criterion.weight"] = torch.ones(1)
    for holder in holders:
        wrapped = {holder: wrapped, **BESIDE}
    found = unwrap(wrapped, STATE.keys(), what="w")
    assert dict(found.state) == STATE
    assert len(found.said) == len(holders) + bool(begin) + bool(begin and more)
    assert not begin or any(repr(begin) in line for line in found.said)
    assert not (begin and more) or found.said[-1] == "1 others left out (criterion.weight)"


def test_weights_that_are_there_twice_are_refused_and_what_lies_beside_is_said():
    twice = {begin + name: tensor for begin in ("student.", "teacher.") for name, tensor in STATE.items()}
    with pytest.raises(ConfigError, match=r"more than once, under student\., teacher\."):
        unwrap(twice, STATE.keys(), what="w")
    found = unwrap({"model": STATE, "model_ema": STATE}, STATE.keys(), what="w")
    assert found.said == ("taken from 'model' in it (model_ema beside it left out)",)


def written(path, kind):
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "large":
        with path.open("wb") as file:
            file.truncate(1 << 40)
    elif kind == "bomb":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            with archive.open("a/data/0", "w") as part:
                for _ in range(ALWAYS_BYTES // (1 << 24) + 1):
                    part.write(bytes(1 << 24))
    elif kind == "model":
        torch.save(nn.Sequential(nn.Linear(1, 1)), path)
    elif kind == "list":
        torch.save([1], path)
    elif kind == "text":
        path.write_text("<html>404</html>")
    else:
        path.write_bytes(b"")


REFUSED = {
    "pipe": "it is no regular file (a pipe, a socket or a device)",
    "device": "it is no regular file (a pipe, a socket or a device)",
    "folder": "it is a folder, not a file of weights",
    "large": "it takes 1,099.5 GB, and the weights of its model take 1.0 MB: not read",
    "bomb": "once it is unpacked (",
    "model": "holds more than weights (torch.nn.modules.container.Sequential), and is not loaded, as that could run",
    "list": "holds a list, expected a state dict: names and tensors",
    "text": "holds more than weights, and is not loaded (UnpicklingError: no state dict that torch wrote)",
    "empty": "is damaged, or holds more than weights, and is not loaded (EOFError)",
}


@pytest.mark.parametrize(("kind", "words"), REFUSED.items(), ids=REFUSED)
def test_what_is_no_file_of_weights_is_one_line(tmp_path, kind, words):
    path = tmp_path / "mine.pt"
    written(path, kind)
    with pytest.raises(ConfigError) as caught:
        read_weights(path, f"--weights {path}", weights_bytes=1_000_000)
    (line,) = caught.value.errors
    assert line.startswith(f"--weights {path}") and words in line and "\n" not in line and "\x1b" not in line
    if kind == "model":
        assert line.endswith("torch.save(torch.load('mine.pt', weights_only=False).state_dict(), 'weights.pt')")


def test_safetensors_are_known_by_what_they_hold(tmp_path):
    save_file(STATE, tmp_path / "mine.bin")
    found, _ = read_weights(tmp_path / "mine.bin", "w", weights_bytes=1)
    assert found.keys() == STATE.keys()
