"""A recorded study written to a database of Optuna's, through Optuna itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import sqlalchemy as sa
from optuna.exceptions import DuplicatedStudyError, StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from search.credentials import UnreadableAddress, masked_address, put_back, take_out
from search.errors import RunError, UsageError
from search.export.optuna_study import ReadStudy, as_optuna_study, read_for_optuna
from search.ledger.paths import Paths
from trainables.errors import first_line

OF_OPTUNA = {"studies", "study_directions", "trials", "version_info"}
"""Tables by which a database of Optuna's is told from another: ours has ``studies`` and ``trials`` too."""

SQLITE = b"SQLite format 3\0"
"""Begins every such file that is not empty (sqlite.org/fileformat.html)."""


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
