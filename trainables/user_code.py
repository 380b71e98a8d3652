"""Imports a user's own code, and says in one line what went wrong in it."""

from __future__ import annotations

import importlib
import linecache
import os
import pkgutil
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType

from trainables.errors import ConfigError, first_line
from trainables.mistake import nearest
from trainables.shadows import shadow_in

OURS = f"{Path(__file__).parent}{os.sep}"
"""The folder of this package: an error raised here is about the user's line that led to it."""

OUR_PACKAGES = tuple(f"{Path(__file__).parent.parent / name}{os.sep}" for name in ("trainables", "spaces", "search"))
STDLIB = f"{Path(os.__file__).parent}{os.sep}"
CELLS = ("<ipython-input", "<stdin>", "<dynamic-code>")
"""Begin what stands in the place of a file for code of a notebook, for what was typed at a prompt, and for what
cloudpickle carried to a worker; ``ipykernel`` names a file for each cell, which is not there."""
FRAME = re.compile(r'^  File "(.+)", line (\d+) in ', re.MULTILINE)
"""A frame in what ``faulthandler`` writes."""
TRACEBACK_FRAME = re.compile(r'^  File "(.+)", line (\d+), in ', re.MULTILINE)
"""A frame in what ``traceback`` writes."""


def import_user_module(name: str, *, who: str) -> ModuleType:
    """Import a module of the current directory or an installed one.

    Args:
        name: dotted.
        who: what each message begins with.

    Raises:
        ConfigError: no such module (the nearest name is suggested), or it raised while it was imported.
    """
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        if (shadow := shadow_in(Path(here))) is not None:
            raise ConfigError(f"{who} cannot be imported: {shadow}")
        sys.path.insert(0, here)  # as ``python -m`` has it; the installed command has not
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        absent = error.name or ""
        if name == absent or name.startswith(f"{absent}."):
            where = f"in {here} or among the installed packages"
            raise ConfigError(f"{who}: there is no module {absent!r} {where}.{_nearest_module(absent)}") from None
        raise ConfigError(f"{who} cannot be imported: {error_line(error)}") from None
    except KeyboardInterrupt:
        raise  # somebody's Ctrl-C, which found the module at work
    except BaseException as error:
        raise ConfigError(f"{who} cannot be imported: {error_line(error)}") from None


def error_line(error: BaseException) -> str:
    """Return ``ValueError: no such width (models.py, line 12)``: an error of the user's code in one line."""
    text = first_line(error, most=1000) or "no message"
    where = place_in_user_code(error)
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {text}"  # which names file and line itself
    return f"{type(error).__name__}: {text}" + (f" ({where})" if where else "")


def place_in_user_code(error: BaseException) -> str | None:
    """Return file and line of the innermost frame that is the user's; None where the error is no deeper than ours."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith(OURS) and not _is_library(f.filename)]
    return f"{os.path.basename(own[-1].filename)}, line {own[-1].lineno}" if own else None


def user_sources(name: str) -> list[str]:
    """Return the source of a module and of what it takes from others, as far as they are the user's; of all cells too.

    Args:
        name: the module's; it is imported.
    """
    files: set[str] = set()
    names, seen = [name], {name}
    while names:
        module = sys.modules.get(names.pop())
        file = None if module is None else _own_file(module)
        if module is None or (file is None and module.__name__ != "__main__"):
            continue
        files |= {file} if file is not None else set()  # a notebook has none
        values = list(vars(module).values())
        used = (v.__name__ if isinstance(v, ModuleType) else getattr(v, "__module__", None) for v in values)
        further = {name for name in used if isinstance(name, str)} - seen
        names += sorted(further)
        seen |= further
    cells = [cell for cell in list(linecache.cache) if cell.startswith(CELLS) or "ipykernel_" in cell]
    return ["".join(linecache.getlines(file)) for file in (*sorted(files), *cells)]


def _own_file(module: ModuleType) -> str | None:
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or not file.endswith(".py") or _is_library(file):
        return None
    return None if file.startswith(OUR_PACKAGES) else file


def place_in_trace(trace: str) -> str | None:
    """Return file and line of the innermost frame of the user's that ``faulthandler`` wrote; None if none is."""
    frames = [(found[1], found[2]) for found in FRAME.finditer(trace)]
    own = [(file, line) for file, line in frames if not file.startswith(OURS) and not _is_library(file)]
    return f"{os.path.basename(own[0][0])}, line {own[0][1]}" if own else None


def place_in_traceback(text: str) -> str | None:
    """Return file and line of the innermost frame of the user's in a traceback as text; None if none is."""
    own = [found for found in TRACEBACK_FRAME.finditer(text) if is_users_file(found[1])]
    return f"{os.path.basename(own[-1][1])}, line {own[-1][2]}" if own else None


def own_traceback(text: str) -> str:
    """Return a traceback as text from its first frame of the user's on, without what led there."""
    first = next((found for found in TRACEBACK_FRAME.finditer(text) if is_users_file(found[1])), None)
    return text if first is None else f"Traceback (most recent call last):\n{text[first.start() :]}".rstrip()


def is_users_file(file: str) -> bool:
    """Say whether a source file is neither ours nor of a library."""
    return not file.startswith(OUR_PACKAGES) and not _is_library(file)


def _is_library(file: str) -> bool:
    return "site-packages" in file or file.startswith(STDLIB) or (file.startswith("<") and not file.startswith(CELLS))


def _nearest_module(name: str) -> str:
    parent, dot, last = name.rpartition(".")
    if last == "py" and parent in sys.modules:
        return f" Did you mean {parent!r}? A module is named without the ending of its file"
    places = list(getattr(sys.modules.get(parent), "__path__", [])) if dot else [os.getcwd()]
    return nearest(last, [module.name for module in pkgutil.iter_modules(places)])
