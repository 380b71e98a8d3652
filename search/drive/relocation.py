"""A recorded study under another name, or in another home: all of it, or nothing is changed."""

from __future__ import annotations

import os
from contextlib import ExitStack

from search.declaration.study import NAME
from search.drive.preflight import home_mistakes
from search.drive.removal import Found, hold_studies
from search.drive.study_folder import move_folder
from search.errors import RunError, UsageError, UserError
from search.ledger import Ledger
from search.ledger.paths import Paths, reserved
from search.ledger.private_files import make_private_folder
from trainables.mistake import sentence


def move_study(source: Paths, target: Paths) -> tuple[Found, str | None]:
    """Move a study that nobody searches.

    Args:
        source: where it lies.
        target: its name and home from now on; the ledger is the same database, or a file in its folder.

    Returns:
        The study as it was found, and in a line what is left where it was, or None.

    Raises:
        UsageError: there is no such study, or the new name or home is not to be had; a line each.
        RunError: a process searches it, or it cannot be moved; it is as it was.
    """
    errors = _why_not(source, target)
    with ExitStack() as held:
        try:
            (found,) = hold_studies([source], held)
        except UserError as error:
            if not errors:
                raise
            raise UsageError([*error.errors, *errors]) from None
        if errors:
            raise UsageError(errors)
        with ExitStack() as undo:
            if found.row is not None and target.name != found.row.name:
                _rename(source, found.row.name, target.name)
                undo.callback(_rename, source, target.name, found.row.name)
            left = None
            if source.folder.is_dir():
                _make_home(target)
                left = move_folder(source.folder, target.folder)
            undo.pop_all()
        return found, left


def _why_not(source: Paths, target: Paths) -> list[str]:
    """Return why a study cannot come to lie there, a line each."""
    if target.folder == source.folder:
        return [f"{source.name} lies there already; give another name, or --to HOME"]
    lines = [sentence(mistake, lambda _: "--to") for mistake in home_mistakes(target.home)]
    if not NAME.fullmatch(target.name):
        lines.append(f"{target.name!r} is no name of a study: letters, digits, '.', '_' and '-', none of these first")
    elif reserved(target.name):
        lines.append(f"{target.name!r} is the name of a file of MLflow's in a home; choose another")
    elif os.path.lexists(target.folder):
        lines.append(f"{target.folder} is there already; choose another name")
    if target.home.absolute().is_relative_to(source.folder):
        lines.append(f"--to {target.home} lies in the folder of the study itself, {source.folder}")
    return lines


def _make_home(paths: Paths) -> None:
    try:
        make_private_folder(paths.home.absolute())
    except OSError as error:
        raise RunError(f"{paths.home} cannot be made: {error.strerror}") from None


def _rename(paths: Paths, before: str, after: str) -> None:
    with Ledger(paths.ledger_url) as ledger:
        ledger.rename_study(ledger.study(before), after)
