"""One checkpoint format for every executor: written whole or not at all, verified before it is read."""

from __future__ import annotations

import hashlib
import io
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from trainables import safe_pickle
from trainables.disk import space_hint
from trainables.errors import CheckpointError, CheckpointWriteError, first_line

FORMAT = 1
FILE = "trial.pt"


def save(state: dict[str, Any], path: Path) -> str:
    """Write ``state`` to ``path`` and its sha256 to ``path`` + ``.sha256``.

    Both are written to a temporary file, fsynced and renamed; the hash first, so that a crash in
    between leaves a mismatch, which ``load`` reports, and never a file that passes for whole.

    Returns:
        The sha256, 64 hexadecimal digits.

    Raises:
        CheckpointWriteError: the file cannot be written (a full disk, say); what was under ``path`` stays,
            and no partial file is left.
    """
    # In memory first: torch would turn the error of a failed write into one that has lost its cause.
    packed = io.BytesIO()
    safe_pickle.write({"format": FORMAT, **state}, packed)
    digest = hashlib.sha256(packed.getbuffer()).hexdigest()
    parts: dict[Path, bytes | memoryview] = {path: packed.getbuffer(), hash_path(path): f"{digest}\n".encode()}
    temporary = {part: part.with_name(part.name + ".tmp") for part in parts}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for part, data in parts.items():
            _write(temporary[part], data)
        temporary[hash_path(path)].replace(hash_path(path))
        temporary[path].replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        hint = space_hint(path)
        raise CheckpointWriteError(f"checkpoint {path} cannot be written: {error.strerror or error}{hint}") from error
    finally:
        for part in temporary.values():
            with suppress(OSError):
                part.unlink(missing_ok=True)
    return digest


def load(path: str | Path) -> dict[str, Any]:
    """Read and verify a checkpoint; tensors land on CPU.

    Raises:
        CheckpointError: absent, no hash beside it, a hash that differs, or another format.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
        expected = hash_path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"checkpoint {path} cannot be read: {error}") from None
    if hashlib.sha256(data).hexdigest() != expected:
        raise CheckpointError(f"checkpoint {path} is damaged: its sha256 is not the one beside it")
    try:  # the bytes that were verified, not the file once more
        state: dict[str, Any] = safe_pickle.read(io.BytesIO(data))
    except Exception as error:  # torch's reader raises whatever foreign bytes lead it to, IndexError included
        raise CheckpointError(f"checkpoint {path} cannot be unpickled safely: {first_line(error)}") from None
    found = state.pop("format", None) if isinstance(state, dict) else None
    if found != FORMAT:
        raise CheckpointError(f"checkpoint {path} has format {found!r}, this version reads {FORMAT}")
    return state


def remove(path: Path) -> None:
    """Remove the checkpoint at ``path`` and its hash, if they are there."""
    path.unlink(missing_ok=True)
    hash_path(path).unlink(missing_ok=True)


def hash_path(path: Path) -> Path:
    """Return where the sha256 of the checkpoint at ``path`` lies."""
    return path.with_name(path.name + ".sha256")


def _write(path: Path, data: bytes | memoryview) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
