"""One checkpoint format for every executor: written whole or not at all, verified before it is read."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

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
    temporary = {part: part.with_name(part.name + ".tmp") for part in (path, hash_path(path))}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary[path].open("wb") as file:
            digest = _write(state, file)
        with temporary[hash_path(path)].open("wb") as file:
            file.write(f"{digest}\n".encode())
            _sync(file)
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
        with path.open("rb") as file:  # one open file: what is read is what was verified, whatever takes its name
            expected = hash_path(path).read_text().strip()
            if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                raise CheckpointError(f"checkpoint {path} is damaged: its sha256 is not the one beside it")
            file.seek(0)
            state: dict[str, Any] = _read(path, file)
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"checkpoint {path} cannot be read: {error}") from None
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


class _Hashed:
    """Passes on to a file what is written, and hashes it: a state in memory needs no second copy to be saved.

    A write that fails is remembered and raised at the end, since torch makes of it an error that has lost its cause.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self._error: OSError | None = None

    def write(self, data: bytes | memoryview) -> int:
        if self._error is None:
            try:
                self._file.write(data)
                self._sha256.update(data)
            except OSError as error:
                self._error = error
        return len(data)

    def flush(self) -> None:
        """Leave that to whoever syncs the file."""

    def digest(self) -> str:
        if self._error is not None:
            raise self._error
        return self._sha256.hexdigest()


def _write(state: dict[str, Any], file: IO[bytes]) -> str:
    hashed = _Hashed(file)
    safe_pickle.write({"format": FORMAT, **state}, cast(IO[bytes], hashed))
    digest = hashed.digest()
    _sync(file)
    return digest


def _read(path: Path, file: IO[bytes]) -> Any:
    try:
        return safe_pickle.read(file)
    except Exception as error:  # torch's reader raises whatever foreign bytes lead it to, IndexError included
        raise CheckpointError(f"checkpoint {path} cannot be unpickled safely: {first_line(error)}") from None


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
