"""The files of a user's folder of images: of which part and class each is."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from trainables.data.file_tree import FileTree, Folder, read_tree
from trainables.data.parts import counted, list_first, printable, quote_first
from trainables.data.split_folders import PARTS, Layout, Part, find_layout, spelled_alike
from trainables.errors import DataError
from trainables.notice import Notice, notice_of


@dataclass(frozen=True)
class ImageListing:
    """The files of a folder of images; which of them are images, decoding tells.

    Attributes:
        files: sorted within each class of each part; parts in the order train, val, test.
        part: for each file ``train``, ``val`` or ``test``; all are ``train`` where the folder has no parts.
        class_name: for each file its class.
        labels: the classes of the training part, sorted, those without a file too.
        notices: what was taken for what, and what is not read.
        root: the folder.
    """

    files: tuple[Path, ...]
    part: tuple[Part, ...]
    class_name: tuple[str, ...]
    labels: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()
    root: Path = Path()

    def names(self, indices: Iterable[int]) -> list[str]:
        """Return the paths of files within the folder."""
        return [printable(os.path.relpath(self.files[i], self.root)) for i in indices]


def list_images(root: Path) -> ImageListing:
    """Return the files of each class below ``root``, in the order of torchvision's ``ImageFolder``.

    Hidden and service files, pipes, sockets and devices are left out. A file that is reached twice, over links, is
    listed once: where it really lies, if that is in a class.

    Raises:
        DataError: everything that is wrong with how the folder is laid out, a line each.
    """
    tree = read_tree(root)
    if tree.root.error:
        raise DataError(f"--data images:{root} cannot be read: {tree.root.error} ({root})")
    layout = find_layout(tree.root)
    errors = _layout_errors(root, layout)
    if errors:
        raise DataError(errors)
    listed = _listed_once(tree, layout)
    vanished = layout.classes["train"].keys() - {class_name for _, _, class_name in listed}
    doubled = sorted(name for name in vanished if _is_linked(layout.classes["train"][name]))
    if doubled:
        named = quote_first(doubled)
        raise DataError(f"--data images:{root}: classes that are only links to what is read anyway: {named}")
    files, parts, class_names = zip(*listed, strict=True) if listed else ((), (), ())
    labels = tuple(sorted(layout.classes["train"]))
    return ImageListing(files, parts, class_names, labels, (*layout.notices, *_left_out(tree)), root)


def _listed_once(tree: FileTree, layout: Layout) -> list[tuple[Path, Part, str]]:
    """Return each file with its part and class, once: where it really lies rather than where a link leads to it."""
    found = [
        (path, real, direct, part, class_name)
        for part, classes in layout.classes.items()
        for class_name, folder in classes.items()
        for path, real, direct in _files(folder)
    ]
    taken = {real for _, real, direct, _, _ in found if direct}
    listed: list[tuple[Path, Part, str]] = []
    for path, real, direct, part, class_name in found:
        if direct or real not in taken:
            taken.add(real)
            listed.append((Path(path), part, class_name))
        else:
            tree.repeated_links.append(printable(os.path.relpath(path, tree.root.path)))
    return listed


def _is_linked(folder: Folder) -> bool:
    """Say whether a folder is a link, or has files, which without one listed are links all."""
    return folder.by_link or folder.has_files()


def _files(folder: Folder) -> list[tuple[str, str, bool]]:
    """Return each file below ``folder``: its path, where it really lies, and whether these are one, over no link."""
    return [
        (os.path.join(inner.path, name), real, not inner.by_link and real == os.path.join(inner.real, name))
        for inner in sorted(folder.below(), key=lambda inner: inner.path)
        for name, real in inner.files.items()
    ]


def _layout_errors(root: Path, layout: Layout) -> list[str]:
    what = f"--data images:{root}"
    folders = [folder for classes in layout.classes.values() for folder in classes.values()]
    everything = [inner for folder in folders for inner in folder.below()]
    errors = []
    odd = [printable(name) for name in layout.classes["train"] if not name.isprintable()]
    if odd:
        errors.append(f"{what}: names of classes that cannot be printed: {list_first(odd)}; rename these folders")
    closed = [f"{inner.path} ({inner.error})" for inner in everything if inner.error]
    if closed:
        errors.append(f"{what}: {counted(len(closed), 'folder')} cannot be read: {list_first(closed)}")
    if not closed and not any(inner.files for inner in everything):
        errors.append(f"{what}: no image in its folders {quote_first(list(layout.classes['train']))}")
    train = layout.classes["train"]
    alike = {spelled_alike(name): name for name in train}
    for part in PARTS[1:]:
        strangers = [name for name, folder in layout.classes.get(part, {}).items() if folder.has_files()]
        strangers = [name for name in strangers if name not in train]
        near = [f"{name!r} for {alike[spelled_alike(name)]!r}" for name in strangers if spelled_alike(name) in alike]
        if strangers:
            spelled = f"; spelled otherwise: {list_first(near)}" if near else ""
            errors.append(f"{what}: {part} has classes that train has not: {quote_first(strangers)}{spelled}")
    return errors


def _left_out(tree: FileTree) -> list[Notice]:
    """Return notices on what is not read because of what it is, not of what is in it."""
    services = [f"{name!r} {count:,}" if count != 1 else repr(name) for name, count in tree.services.items()]
    hidden = f"{counted(sum(tree.services.values()), 'file')} ({list_first(services)})"
    found: Iterable[tuple[str, str, list[str], bool]] = (
        ("hidden_files", f"not read, hidden or a system's own: {hidden}", list(tree.services), False),
        ("special_files", f"not read, pipes, sockets or devices: {_counted(tree.special)}", tree.special, True),
        ("broken_links", f"not read, links that lead nowhere: {_counted(tree.broken_links)}", tree.broken_links, True),
        (
            "repeated_links",
            f"not read again, links to what is read anyway: {_counted(tree.repeated_links)}",
            tree.repeated_links,
            True,
        ),
    )
    return [notice_of(kind, text, names, warning=warning) for kind, text, names, warning in found if names]


def _counted(names: list[str]) -> str:
    return f"{len(names):,} ({quote_first(names)})"
