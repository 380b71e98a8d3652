"""Reads a file of weights without running anything in it, and refuses one that would exhaust the memory."""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainables import checkpoint, safe_pickle
from trainables.errors import CheckpointError, ConfigError, first_line

SAFETENSORS = ".safetensors"
TIMES_LARGER = 16
"""How many times the weights of its model a file may take: with an optimiser's state, a teacher, float64."""

ALWAYS_BYTES = 1 << 28
"""What any file may take."""

GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
"""How torch's reader calls a class that it does not make."""


def read_weights(file: Path, what: str, *, weights_bytes: int) -> tuple[dict[str, Any], str]:
    """Return what a file of weights holds, tensors on CPU, and the file's sha256.

    Args:
        file: a state dict as torch or safetensors writes it, or a checkpoint of ours.
        what: begins each message.
        weights_bytes: what the weights of its model take.

    Raises:
        ConfigError: no regular file, too large, damaged, or holding more than weights.
    """
    check_regular(file, what)
    most = max(ALWAYS_BYTES, TIMES_LARGER * weights_bytes)
    _check_size(file, what, most, weights_bytes)
    try:
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        if _is_safetensors(file):
            from safetensors.torch import load_file

            return load_file(file), digest
        if checkpoint.hash_path(file).exists():
            return checkpoint.load(file), digest
        with file.open("rb") as opened:
            state = safe_pickle.read(opened)
    except (CheckpointError, OSError) as error:
        raise ConfigError(f"{what}: {first_line(error)}") from None
    except Exception as error:  # torch's and safetensors' readers raise whatever damaged bytes lead them to
        raise ConfigError(f"{what} {_why_not(file, error)}") from None
    if not isinstance(state, Mapping) or not all(isinstance(key, str) for key in state):
        raise ConfigError(f"{what} holds a {type(state).__name__}, expected a state dict: names and tensors")
    return dict(state), digest


def check_regular(file: Path, what: str) -> None:
    """Refuse what is there and no file: a folder, a pipe (which would be waited for), a device.

    Raises:
        ConfigError: it is one of these.
    """
    if file.is_dir():
        raise ConfigError(f"{what}: it is a folder, not a file of weights")
    if os.path.exists(file) and not file.is_file():
        raise ConfigError(f"{what}: it is no regular file (a pipe, a socket or a device)")


def _check_size(file: Path, what: str, most: int, weights_bytes: int) -> None:
    """Refuse a file that is, or whose parts would become, far larger than the weights of its model."""
    size = file.stat().st_size
    unpacked = size
    if zipfile.is_zipfile(file):
        try:
            with zipfile.ZipFile(file) as archive:
                unpacked = max(size, sum(part.file_size for part in archive.infolist()))
        except (zipfile.BadZipFile, OSError, ValueError):
            return  # torch's reader says what is damaged
    if unpacked > most:
        grows = "" if unpacked == size else f" once it is unpacked ({_mb(size)} as it is)"
        raise ConfigError(
            f"{what}: it takes {_mb(unpacked)}{grows}, and the weights of its model take {_mb(weights_bytes)}: not read"
        )


def _is_safetensors(file: Path) -> bool:
    """Say whether a file is of that form, by its ending or by how it begins: a length, and JSON."""
    with file.open("rb") as opened:
        begin = opened.read(9)
    return file.suffix == SAFETENSORS or (len(begin) == 9 and begin[8:] == b"{" and begin[4:8] == bytes(4))


def _why_not(file: Path, error: Exception) -> str:
    """Return why torch's reader refused a file, and what to do if it is a whole model that was pickled."""
    whole = f"torch.load({file.name!r}, weights_only=False)"
    if found := GLOBAL.search(str(error)):
        text = f"holds more than weights ({found[1]}), and is not loaded, as that could run code in it"
        is_class = found[1].rpartition(".")[2][:1].isupper()  # of a whole model, or of a script's settings
        hint = f"; of a model that you trust, save the weights: torch.save({whole}.state_dict(), 'weights.pt')"
        return text + (hint if is_class else "")
    if "TorchScript" in str(error):
        return (
            "is a TorchScript archive, more than weights, and is not loaded; save the weights alone: "
            f"torch.save(torch.jit.load({file.name!r}).state_dict(), 'weights.pt')"
        )
    cause = "no state dict that torch wrote" if "Unsupported operand" in str(error) else first_line(error, most=120)
    reason = f"{type(error).__name__}: {cause}" if cause else type(error).__name__
    return f"is damaged, or holds more than weights, and is not loaded ({reason})"


def _mb(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
