"""A recorded study written to a database of Optuna's, through Optuna itself."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import optuna
import sqlalchemy as sa
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from search.credentials import UnreadableAddress, masked_address, put_back, take_out
from search.drive.history import as_ledger_error
from search.drive.lookup import open_ledger
from search.drive.overview import last_ending
from search.drive.result import read_answer
from search.errors import RunError, UsageError
from search.export.optuna_trials import OWN, Converted, convert
from search.ledger.paths import Paths
from search.ledger.stored_study import study_from_row
from search.report.sentences import verdict
from trainables.direction import Direction
from trainables.errors import first_line
from trainables.stage import each

if TYPE_CHECKING:
    from search.declaration.study import Study
    from search.ledger import StudyRow
    from search.report.answer import Answer

OF_OPTUNA = {"studies", "study_directions", "trials", "version_info"}
"""Tables by which a database of Optuna's is told from another: ours has ``studies`` and ``trials`` too."""

StudyOfOptuna: TypeAlias = optuna.Study

SQLITE = b"SQLite format 3\0"
"""Begins every such file that is not empty (sqlite.org/fileformat.html)."""


@dataclass(frozen=True)
class ReadStudy:
    """A recorded study, read for Optuna.

    Attributes:
        study: the declaration; Optuna's study has its name.
        converted: the trials.
        facts: what Optuna is told of the study as a whole, its user attributes.
        best: the number of the best trial as we rank them; None without one.
    """

    study: Study
    converted: Converted
    facts: Mapping[str, Any]
    best: int | None

    @property
    def states(self) -> dict[str, int]:
        """How many trials Optuna has in each state."""
        names = [trial.state.name for trial in self.converted.trials]
        return {name: names.count(name) for name in dict.fromkeys(names)}


def export_to_optuna(paths: Paths, url: str) -> tuple[ReadStudy, str]:
    """Write a study with all its trials and curves to a database as a study of Optuna's, of the same name.

    Args:
        paths: of the study, which is only read.
        url: a database URL of SQLAlchemy, ``sqlite:///FILE`` say; the database and Optuna's tables are made where they
            are absent.

    Returns:
        What was written, and the URL without credentials.

    Raises:
        UsageError: no such study, no URL, no database of Optuna's, or it has a study of that name already.
        RunError: the database cannot be reached or written; nothing of the study is left there.
    """
    bare = _checked(url)
    found = read_for_optuna(paths)
    with _storage(bare) as storage:
        try:
            as_optuna_study(found, storage)
        except DuplicatedStudyError:
            name = found.study.name
            raise UsageError(
                f"--optuna {masked_address(put_back(bare))} has a study {name} already; name another database, or "
                f"remove it with: optuna delete-study --study-name {name} --storage {bare}"
            ) from None
    return found, bare


def read_for_optuna(paths: Paths) -> ReadStudy:
    """Return what Optuna is told of a recorded study, searched to its end or not.

    Raises:
        UsageError: no study of that name in the home.
    """
    with open_ledger(paths) as ledger:
        row = ledger.study(paths.name)
        study = study_from_row(row)
        with as_ledger_error(paths.ledger):
            found = read_answer(ledger, row, study)
            running = last_ending(ledger, row) == "running"
            converted = convert(study, ledger.trials(row.id), ledger.epochs(row.id), running=running)
    return ReadStudy(study, converted, _facts(row, study, found), None if found.best is None else found.best.trial)


def as_optuna_study(found: ReadStudy, storage: optuna.storages.BaseStorage | None = None) -> StudyOfOptuna:
    """Return a study as one of Optuna's: in a storage, whole or not at all, else in memory.

    Raises:
        DuplicatedStudyError: the storage has one of its name.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    name, objectives = found.study.name, found.study.objectives
    directions = [_direction(o.direction) for o in objectives]
    made = optuna.create_study(storage=storage, study_name=name, directions=directions)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            made.set_metric_names([o.metric for o in objectives])
        for attribute, value in found.facts.items():
            made.set_user_attr(attribute, value)
        for trial in each(found.converted.trials, "writing trials"):
            made.add_trial(trial)
    except BaseException:  # Ctrl-C too: a study that is not whole would be taken for one
        if storage is not None:
            with suppress(Exception):
                optuna.delete_study(study_name=name, storage=storage)
        raise
    return made


def _facts(row: StudyRow, study: Study, found: Answer) -> dict[str, Any]:
    """Return what Optuna is told of the study as a whole."""
    confirmed = found.confirmation
    facts = {
        "study": study.name,
        "kind": study.kind,
        "question": study.question,
        "verdict": found.problem or (None if found.best is None else verdict(found)),
        "best_trial": None if found.best is None else found.best.trial,
        "confirmation": None if confirmed is None else confirmed.sentence,
        "recommended_trial": None if confirmed is None else confirmed.recommended,
        "dataset": study.data.name,
        "data_fingerprint": row.fingerprint,
        "sampler": study.sampler,
        "scheduler": study.scheduler.name,
        "max_epochs": study.budget.max_epochs,
        "seed": study.seed,
        "versions": row.facts.versions,
    }
    return {f"{OWN}{name}": value for name, value in facts.items() if value is not None}


def _checked(url: str) -> str:
    """Return the URL without its credentials, which are kept for use.

    Raises:
        UsageError: it is none, or of a file where no database can be.
    """
    shown = masked_address(url)
    if "://" not in url:
        raise UsageError(f"--optuna {shown!r} is no database URL; of a file it is sqlite:///{shown or 'FILE'}")
    try:
        bare = take_out(url)
        address = sa.make_url(bare)
        address.get_dialect()
    except UnreadableAddress as error:
        raise UsageError(f"--optuna {shown} {error}") from None
    except (SQLAlchemyError, ImportError) as error:
        raise UsageError(f"--optuna {shown} names no database that SQLAlchemy knows: {first_line(error)}") from None
    if address.get_backend_name() == "sqlite" and not (address.database or "").startswith("file:"):
        if address.database in (None, "", ":memory:"):
            raise UsageError(f"--optuna {shown} is gone when the command ends; name a file: sqlite:///FILE")
        _check_file(Path(address.database), shown)
    return bare


def _check_file(file: Path, shown: str) -> None:
    if not file.absolute().parent.is_dir():
        raise UsageError(f"--optuna {shown}: there is no folder {file.absolute().parent}")
    if file.is_dir():
        raise UsageError(f"--optuna {shown} is a folder; name a file")
    try:
        with file.open("rb") as opened:
            begin = opened.read(len(SQLITE))
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"--optuna {shown} cannot be read: {error.strerror}") from None
    if begin not in (b"", SQLITE):
        raise UsageError(f"--optuna {shown}: the file is no SQLite database; name another")


def _direction(direction: Direction) -> optuna.study.StudyDirection:
    minimize, maximize = optuna.study.StudyDirection.MINIMIZE, optuna.study.StudyDirection.MAXIMIZE
    return minimize if direction.ascending else maximize


@contextmanager
def _storage(url: str) -> Iterator[optuna.storages.RDBStorage]:
    """Open Optuna's storage behind a URL, once it is seen that nothing else is there."""
    shown = masked_address(put_back(url))
    storage = None
    try:
        engine = sa.create_engine(put_back(url))
        try:
            tables = set(sa.inspect(engine).get_table_names())
        finally:
            engine.dispose()
        if tables and not tables >= OF_OPTUNA:
            raise UsageError(f"--optuna {shown} is a database of something else; name one of Optuna's, or a new one")
        storage = optuna.storages.RDBStorage(put_back(url))
        yield storage
    except ImportError as error:
        raise UsageError(f"--optuna {shown} needs a package that is not installed: {first_line(error)}") from None
    except (SQLAlchemyError, StorageInternalError, RuntimeError) as error:
        raise RunError(f"--optuna {shown} cannot be written: {_cause(error)}") from None
    finally:
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()


def _cause(error: BaseException) -> str:
    """Return what the database's own driver said, where it did."""
    wrapped = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    return first_line(getattr(wrapped, "orig", None) or wrapped)
