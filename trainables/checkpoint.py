"""One checkpoint format for every executor: written whole or not at all, verified before it is read."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import torch

from trainables.errors import CheckpointError

FORMAT = 1
FILE = "trial.pt"


def save(state: dict[str, Any], path: Path) -> str:
    """Write ``state`` to ``path`` and its sha256 to ``path`` + ``.sha256``.

    Both are written to a temporary file, fsynced and renamed; the hash first, so that a crash in
    between leaves a mismatch, which ``load`` reports, and never a file that passes for whole.

    Returns:
        The sha256, 64 hexadecimal digits.

    Raises:
        OSError: the file cannot be written (a full disk, say); no partial file is left under ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            torch.save({"format": FORMAT, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        digest = _sha256(temporary)
        _write_text(hash_path(path), digest)
        temporary.replace(path)
    except RuntimeError as error:  # torch wraps a failed write
        temporary.unlink(missing_ok=True)
        raise OSError(f"cannot write checkpoint {path}: {error}") from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)
    return digest


def load(path: Path) -> dict[str, Any]:
    """Read and verify a checkpoint; tensors land on CPU.

    Raises:
        CheckpointError: absent, no hash beside it, a hash that differs, or another format.
    """
    try:
        expected = hash_path(path).read_text().strip()
        data = path.read_bytes()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"checkpoint {path} cannot be read: {error}") from None
    if hashlib.sha256(data).hexdigest() != expected:
        raise CheckpointError(f"checkpoint {path} is damaged: its sha256 is not the one beside it")
    try:  # the bytes that were verified, not the file once more
        state: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch's reader raises whatever foreign bytes lead it to, IndexError included
        raise CheckpointError(f"checkpoint {path} cannot be unpickled safely: {error}") from None
    found = state.pop("format", None) if isinstance(state, dict) else None
    if found != FORMAT:
        raise CheckpointError(f"checkpoint {path} has format {found!r}, this version reads {FORMAT}")
    return state


def hash_path(path: Path) -> Path:
    """Return where the sha256 of the checkpoint at ``path`` lies."""
    return path.with_name(path.name + ".sha256")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_text(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
