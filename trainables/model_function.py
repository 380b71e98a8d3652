"""Finds a function of the user's (a model's, a training loop): in a module, or in the script that declares the study.

What lies in a module is named by that, and each process imports it. What lies in a script or notebook (``__main__``)
is no other process's to import: it is remembered here, and carried to the workers as it is, pickled by value.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from trainables.errors import ConfigError, first_line
from trainables.mistake import nearest
from trainables.reached_source import reached_definitions
from trainables.user_code import import_user_module

if TYPE_CHECKING:
    from torch import nn

ModelFunction: TypeAlias = "Callable[[Mapping[str, Any], tuple[int, ...], int], nn.Module]"

SIGNATURE = "function(params, input_shape, outputs) -> torch.nn.Module"

MAIN = "__main__"

_given: dict[str, Callable[..., Any]] = {}
"""The functions of the script or notebook, by ``__main__:name``, that this process was given."""


def path_of_function(function: Callable[..., Any], *, kind: str = "model") -> str:
    """Return the name by which ``find_function`` finds a function again, in this process at least.

    Args:
        function: of a module, or of the script or notebook.
        kind: what it is called in a declaration: ``model`` or ``train``.

    Raises:
        ConfigError: it is neither in a module nor by a name in the script or notebook.
    """
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if module == MAIN:
        own = [key for key, value in vars(sys.modules[MAIN]).items() if value is function and key.isidentifier()]
        name = (own or [name.rpartition(".")[2]])[0]
        if name.isidentifier():
            _given[f"{MAIN}:{name}"] = function
    if not module or not name or "<" in name:
        raise ConfigError(
            f"{kind} {function!r:.80}: another process must be able to find it; give a function of a module, or one of "
            "the script or notebook that has a name"
        )
    return f"{module}:{name}"


def carried_function(path: str, *, kind: str = "model") -> bytes | None:
    """Return a function of the script or notebook as ``take_function`` takes it; None for one of a module.

    Args:
        path: of the function; that of anything else is of a module.
        kind: what it is called in a declaration.

    Raises:
        ConfigError: it cannot be pickled, or is not there.
    """
    if not in_main(path):
        return None
    import cloudpickle

    function = find_function(path, kind=kind)
    try:
        return bytes(cloudpickle.dumps(function))
    except Exception as error:  # whatever it refers to raises when it is pickled
        reason = first_line(error) or type(error).__name__
        raise ConfigError(f"{kind} {path} cannot be carried to the workers: {reason}; move it into a module") from None


def take_function(path: str, carried: bytes | None) -> None:
    """Remember a function that another process carried here."""
    if carried is not None:
        import cloudpickle

        _given[path] = cloudpickle.loads(carried)


def in_main(path: str) -> bool:
    """Say whether a path names a function of the script or notebook."""
    return path.partition(":")[0] == MAIN


def source_of_main(path: str) -> tuple[str, str]:
    """Return where a function of the script or notebook was written, and the sha256 of that.

    In a notebook that is its definition, and those of the functions and classes of the notebook that it names.

    Raises:
        ConfigError: it is not there.
    """
    function = find_function(path)
    file = getattr(sys.modules[MAIN], "__file__", None)
    if file is not None and Path(file).is_file():
        return str(file), hashlib.sha256(Path(file).read_bytes()).hexdigest()
    source = "\n".join(reached_definitions(function)) or path
    return "a notebook", hashlib.sha256(source.encode()).hexdigest()


def find_function(path: str, *, kind: str = "model", signature: str = SIGNATURE) -> Callable[..., Any]:
    """Import and return the function that ``package.module:function`` names.

    Args:
        path: of that form.
        kind: what it is called in a declaration; each message begins with it.
        signature: how it must look.

    Raises:
        ConfigError: no such module or function (the nearest name is suggested), or the import failed.
    """
    module_name, _, attribute = path.partition(":")
    who = f"{kind} {path}"
    if path in _given:
        return _given[path]
    if in_main(path):
        raise ConfigError(
            f"{who}: it lies in a script or notebook, which is not this one; go on there, with "
            f"run(declare(..., {kind}={attribute}, name=...), resume=True), or move it into a module"
        )
    found: Any = import_user_module(module_name, who=who)
    for part in attribute.split("."):
        if not hasattr(found, part):
            names = vars(found) if hasattr(found, "__dict__") else {}
            public = [name for name, value in names.items() if callable(value) and not name.startswith("_")]
            raise ConfigError(f"{who}: {module_name} has no {attribute!r}.{nearest(part, public)}")
        found = getattr(found, part)
    if not callable(found):
        raise ConfigError(f"{who} is a {type(found).__name__}, expected {signature}")
    function: Callable[..., Any] = found
    return function
