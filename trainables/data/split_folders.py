"""Which folders are the parts of a data set, and which its classes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from trainables.data.file_tree import Folder
from trainables.data.image_formats import is_image
from trainables.data.parts import counted, list_first, printable, quote_first
from trainables.errors import DataError
from trainables.notice import Notice, notice_of

Part: TypeAlias = Literal["train", "val", "test"]

PARTS: tuple[Part, ...] = ("train", "val", "test")
IN_WORDS: dict[Part, str] = {"train": "training", "val": "validation", "test": "test"}

SPELLINGS: dict[Part, str] = {
    "train": "train|training|trn",
    "val": "val|vali|valid|validate|validation|dev|devel|development|eval|evaluation",
    "test": "test|testing|tests|tst|holdout|heldout",
}
"""How the folders of the parts are called: in any case, with or without ``-``, ``_``, ``.`` and blanks in between."""

_BEGINS = re.compile(r"(?<![a-z])(train|test|val|dev|eval|holdout)")
"""How words begin that may be parts' names: ``01_train``, ``x_test``, ``Trainingsdaten``."""

_AROUND = "set|data|dataset|images?|imgs?|split|part|folder"
_NAMES = {
    part: re.compile(f"(seg|{_AROUND})?({words})({_AROUND})?((19|20)[0-9]{{2}})?") for part, words in SPELLINGS.items()
}


@dataclass(frozen=True)
class Layout:
    """Where the images of each part lie.

    Attributes:
        classes: for each part that has a folder, its classes' folders by name; ``train`` alone where none has.
        notices: what was taken for what, and what is not read.
    """

    classes: dict[Part, dict[str, Folder]]
    notices: tuple[Notice, ...]


def part_named(name: str) -> Part | None:
    """Return the part whose folder may be called so: ``Training``, ``valid``, ``test_set``; None if none's may."""
    plain = re.sub(r"[-_. ]", "", name.casefold())
    return next((part for part in PARTS if _NAMES[part].fullmatch(plain)), None)


def find_layout(root: Folder) -> Layout:
    """Tell parts from classes below ``root``.

    A folder that holds nothing but one folder with the classes or the parts in it is passed through.

    Raises:
        DataError: folders are named like parts and cannot be these; or there is no folder at all.
    """
    what, notices = f"--data images:{root.path}", list[Notice]()
    base = _unwrapped(root, notices)
    if not base.folders:
        loose = f"; it holds {counted(len(base.files), 'file')} itself" if base.files else ""
        raise DataError(f"{what} has no folders; expected one for each class, or train/ with these inside{loose}")
    filled = [name for name, folder in base.folders.items() if folder.has_files()]
    named = {part: [name for name in filled if part_named(name) == part] for part in PARTS}
    others = [name for name in base.folders if part_named(name) is None]
    empty = [name for name in base.folders if part_named(name) is not None and name not in filled]
    if not any(named.values()):
        if not others:
            raise DataError(f"{what}: no image in its folders {quote_first(empty)}")
        _refuse_parts_in_classes(what, base)
        classes: dict[Part, dict[str, Folder]] = {"train": {name: base.folders[name] for name in others}}
        _refuse_parts_as_classes(what, others)
        notices += _maybe_parts(classes["train"]) or _deeper(classes["train"])
    else:
        errors = _misnamed(what, base, named, others)
        if errors:
            raise DataError(errors)
        classes = {}
        for part in (part for part in PARTS if named[part]):
            folder = base.folders[named[part][0]]
            notices += _loose_files(root, folder)
            classes[part] = _unwrapped(folder, notices, part=True, known=classes.get("train", ())).folders
        if all(map(part_named, classes["train"])):
            inside = quote_first(list(classes["train"]))
            raise DataError(
                f"{what}: {named['train'][0]!r} is named like the training part, and its folders, {inside}, like parts "
                f"too; give --data images:{base.path}/{named['train'][0]}, or name the classes otherwise"
            )
        notices += [_as_parts(named), *_beside(others, named["train"][0])]
    if empty:
        text = f"empty, so not taken for a part: {quote_first(empty)}"
        notices.append(notice_of("empty_folders", text, empty, warning=True))
    return Layout(classes, (*notices, *_loose_files(root, base)))


def spelled_alike(name: str) -> str:
    """Return what names have in common that differ in case, in blanks around them or in how accents are encoded."""
    return unicodedata.normalize("NFKC", name).casefold().strip()


def _unwrapped(folder: Folder, notices: list[Notice], *, part: bool = False, known: Iterable[str] = ()) -> Folder:
    """Return the folder that has the classes (or the parts) in it.

    Args:
        folder: where to begin.
        notices: told of each folder that was passed through.
        part: whether ``folder`` is a part, so that none inside it is.
        known: classes of the training part: no folder of such a name is passed through.
    """
    while True:
        inside = [name for name, inner in folder.folders.items() if inner.has_files()]
        if len(inside) != 1 or inside[0] in known or _has_images(folder):
            return folder
        (name,) = inside
        if part_named(name) and not part:
            return folder
        inner = folder.folders[name]
        if _has_images(inner) or not _with_images(inner):
            return folder
        text = f"one folder too many: the folders in {name!r}, the only one there, are read"
        notices.append(notice_of("wrapper_folder", text, [name]))
        folder = inner


def _misnamed(what: str, base: Folder, named: dict[Part, list[str]], others: list[str]) -> list[str]:
    """Return why folders that are named like parts cannot be these, a line each, with what to do."""
    found = [name for part in PARTS for name in named[part]]
    classes = [name for name in others if base.folders[name].has_files()]
    deeper = f"if {{0}} a class, the classes belong one folder deeper, such as {base.path}/train/{found[0]}"
    if not named["train"]:
        if not classes:
            return [f"{what} has {' and '.join(sorted(found))} but no train"]
        like, remedy = ("is named like a part", "it is") if len(found) == 1 else ("are named like parts", "each is")
        return [
            f"{what}: {quote_first(found)} {like} beside {quote_first(classes)}, and there is no train; "
            f"{deeper.format(remedy)}; if not, {quote_first(classes)} belong into {base.path}/train"
        ]
    errors = [
        f"{what}: {quote_first(named[part])} are all named like the {IN_WORDS[part]} part; keep or rename all but one"
        for part in PARTS
        if len(named[part]) > 1
    ]
    train = base.folders[named["train"][0]]
    for name in found:
        if not _with_images(base.folders[name]):
            remedy = f"--data images:{train.path} reads {named['train'][0]!r} alone"
            remedy = remedy if _with_images(train) else deeper.format("it is")
            errors.append(
                f"{what}: {name!r} is named like a part, but has no folder with images for each class; {remedy}"
            )
    return errors


def _refuse_parts_in_classes(what: str, base: Folder) -> None:
    """Refuse ``cat/train``, ``cat/test``: read as one class each, they would be mixed and cut anew."""
    inside = [
        f"{name}/{inner}"
        for name, folder in base.folders.items()
        for inner in folder.folders
        if part_named(inner) and folder.folders[inner].has_files()
    ]
    if inside:
        name, _, part = inside[0].partition("/")
        raise DataError(
            f"{what}: folders of classes hold folders named like parts ({list_first(inside)}); the parts come first: "
            f"expected {part}/{name}, or another name"
        )


def _refuse_parts_as_classes(what: str, names: list[str]) -> None:
    """Refuse ``01_train``, ``02_test``: where all names speak of parts, one of training, these are no classes."""
    words = [_BEGINS.search(name.casefold()) for name in names]
    found = {word[1] for word in words if word}
    if all(words) and len(found) > 1 and "train" in found:
        raise DataError(
            f"{what}: all of its folders speak of parts ({quote_first(names)}); name them train, val and test; if "
            f"they are classes, they belong one folder deeper, such as train/{names[0]}"
        )


def _deeper(classes: dict[str, Folder]) -> list[Notice]:
    """Say that folders below a class are read as that class, where a class has several and no image itself."""
    inside = {name: _with_images(folder) for name, folder in classes.items() if not _has_images(folder)}
    if not any(len(inner) > 1 for inner in inside.values()):
        return []
    paths = [f"{name}/{inner}" for name, found in inside.items() for inner in found]
    text = f"read as the class above them, {counted(len(paths), 'folder')}: {quote_first(paths)}"
    return [notice_of("folders_in_classes", text, paths, warning=len(inside) == len(classes))]


def _maybe_parts(classes: dict[str, Folder]) -> list[Notice]:
    """Warn where every class holds folders of the same names: these may be the classes, and the outer ones parts."""
    inside = {tuple(folder.folders) for folder in classes.values()}
    (first, *differing) = inside
    if differing or len(first) < 2 or len(classes) < 2 or any(map(_has_images, classes.values())):
        return []
    text = (
        f"the folders {quote_first(first)} are in each of {quote_first(list(classes))}, which are read as the classes; "
        "if they are parts, name them train, val and test"
    )
    return [notice_of("classes_like_parts", text, classes, warning=True)]


def _as_parts(named: dict[Part, list[str]]) -> Notice:
    shown = ", ".join(f"{named[part][0]!r} for {IN_WORDS[part]}" for part in PARTS if named[part])
    return notice_of("parts", f"parts: {shown}", [named[part][0] for part in PARTS if named[part]])


def _beside(others: list[str], train: str) -> list[Notice]:
    if not others:
        return []
    text = f"not read, beside {train}/: {quote_first(others)}"
    return [notice_of("folders_not_read", text, others, warning=True)]


def _loose_files(root: Folder, folder: Folder) -> list[Notice]:
    """Return a notice on files that lie where folders of classes are expected."""
    if not folder.files:
        return []
    names = list(map(printable, folder.files))
    where = "" if folder is root else f" in {folder.path[len(root.path) :].strip('/')}/"
    text = f"not read, in no folder of a class{where}: {counted(len(names), 'file')} ({quote_first(names)})"
    return [notice_of("loose_files", text, names, warning=_has_images(folder))]


def _has_images(folder: Folder) -> bool:
    """Say whether an image lies in the folder itself."""
    return any(is_image(f"{folder.path}/{name}") for name in folder.files)


def _with_images(folder: Folder) -> list[str]:
    """Return the names of those of its folders that have an image, however deep."""
    return [name for name, inner in folder.folders.items() if any(map(_has_images, inner.below()))]
