"""Data that a program held when it began a study: kept beside the ledger, so that a resume and workers have them."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from search.declaration.held_function import function_fields
from search.declaration.study import Study
from search.declaration.validate import valid_study
from search.drive.continuation import refuse_other_data
from search.drive.examples import load_data
from search.drive.lookup import open_ledger
from search.errors import RunError
from search.ledger.paths import Paths
from search.ledger.private_files import make_private_file, make_private_folder
from search.ledger.stored_study import study_from_row
from trainables.disk import space_hint


@contextmanager
def keeping_data(study: Study, held: Path | None, paths: Paths, say: Callable[[str], None]) -> Iterator[Study]:
    """Copy the held file into the study's folder, and yield the study that reads it there.

    What is refused before it has a ledger leaves nothing behind.

    Args:
        study: about to begin.
        held: the file of its data, if a program holds them; None yields the study as it is.
        paths: of the study.
        say: prints one line for the user.

    Raises:
        RunError: the copy cannot be written.
    """
    if held is None:
        yield study
        return
    kept = _kept(held, paths)
    made = [folder for folder in (kept.parent, paths.folder, paths.home.absolute()) if not folder.exists()]
    try:
        make_private_folder(paths.home.absolute())
        kept.parent.mkdir(parents=True, exist_ok=True)
        make_private_file(kept)  # a home that others made may be open
        shutil.copyfile(held, kept)
    except OSError as error:
        raise RunError(f"the data cannot be kept in {kept}: {error.strerror}{space_hint(kept.parent)}") from None
    size = kept.stat().st_size / 1e6
    say(f"the data given from Python are kept in {kept} ({size:.2f} MB): a resume and other processes read them there")
    try:
        yield _reading(study, kept)
    finally:
        if paths.database is None and not paths.ledger_file.exists():
            kept.unlink(missing_ok=True)
            for folder in made:
                with suppress(OSError):  # something else lies there
                    folder.rmdir()


def read_as_recorded(study: Study, paths: Paths) -> Study:
    """Return a study that is resumed, whose function's data are held or streamed as when it began.

    How much memory is free is another question at each start, and the two are fingerprinted in different ways.

    Raises:
        UsageError: the function does not return now what can be read in that way.
    """
    data = study.data
    if data.function is None:
        return study
    with open_ledger(paths) as ledger:
        recorded = study_from_row(ledger.study(paths.name)).data
    if recorded.function != data.function or recorded.source == data.source:
        return study
    streamed = recorded.source == "stream"
    fields = function_fields(data.function, task=data.task, memory_mb=data.memory_mb, streamed=streamed)
    return valid_study({**study.model_dump(), "data": {**dataclasses.asdict(data), **fields}})


def with_kept_data(study: Study, held: Path, paths: Paths) -> Study:
    """Return a study that is resumed from Python, reading the data that it began with, where they are the same.

    Raises:
        RunError: they are others.
    """
    with open_ledger(paths) as ledger:
        refuse_other_data(ledger.study(paths.name), load_data(study))
    kept = _kept(held, paths)
    return _reading(study, kept) if kept.is_file() else study


def _kept(held: Path, paths: Paths) -> Path:
    return paths.data / f"data{held.suffix}"


def _reading(study: Study, file: Path) -> Study:
    return study.model_copy(update={"data": dataclasses.replace(study.data, path=str(file))})
