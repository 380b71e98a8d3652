"""What lies below a folder, found without opening a file: links are followed once, nothing is waited for."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from trainables.data.parts import printable

SERVICE_NAMES = frozenset(
    (
        *("__macosx", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"),
        *("@eadir", "@recycle", "@recently-snapshot", "@__thumb", "#recycle", "#snapshot"),
        *("lost+found", "$recycle.bin", "recycler", "system volume information", "network trash folder"),
        *("__pycache__", "node_modules"),
    )
)
"""What systems, network drives and tools put into folders, in small letters; names that begin with a dot count too."""


@dataclass(eq=False)
class Folder:
    """A folder with what may be read in it, in the order of names.

    Attributes:
        path: as it is reached, maybe over a link.
        real: where it really lies.
        by_link: whether a link is on the way.
        folders: its folders by name.
        files: its regular files: the name, and where the file really lies.
        error: why it cannot be read; None if it can.
    """

    path: str
    real: str
    by_link: bool = False
    folders: dict[str, Folder] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    error: str | None = None

    def below(self) -> Iterator[Folder]:
        """Yield this folder and every one below it."""
        yield self
        for folder in self.folders.values():
            yield from folder.below()

    def has_files(self) -> bool:
        """Say whether there is a file, however deep."""
        return any(folder.files for folder in self.below())


@dataclass
class FileTree:
    """A folder and what was left out of it, each by its path from there.

    Attributes:
        root: what may be read.
        services: hidden and service files, and folders of such with the number of files in each.
        special: pipes, sockets and devices.
        broken_links: links that lead nowhere.
        repeated_links: links to a folder that holds them, or that another link led to before.
    """

    root: Folder
    services: dict[str, int] = field(default_factory=dict)
    special: list[str] = field(default_factory=list)
    broken_links: list[str] = field(default_factory=list)
    repeated_links: list[str] = field(default_factory=list)


def read_tree(root: Path) -> FileTree:
    """Return what lies below ``root``.

    A link to a folder is followed unless that folder holds the link, or another link led there before: no folder is
    walked more often than once for itself and once for a link, however links are tied.
    """
    tree = FileTree(Folder(str(root), os.path.realpath(root)))
    linked: set[str] = set()
    links: list[Folder] = []
    waiting = deque([tree.root])
    while waiting:
        folder = waiting.popleft()
        if folder.by_link and folder.real in linked:
            tree.repeated_links.append(_relative(tree, folder.path))
        else:
            if folder.by_link:
                linked.add(folder.real)
            found = _scan(tree, folder)
            links += found
            waiting += [inner for inner in folder.folders.values() if inner not in found]
        if not waiting:  # what really lies there comes first
            waiting += sorted(links, key=lambda link: link.path)
            links = []
    return tree


def _scan(tree: FileTree, folder: Folder) -> list[Folder]:
    """Fill ``folder`` with what lies in it; return those of its folders that are links."""
    links: list[Folder] = []
    try:
        entries = sorted(os.scandir(folder.path), key=lambda entry: entry.name)
    except OSError as error:
        folder.error = error.strerror or type(error).__name__
        return []
    for entry in entries:
        if entry.name.startswith(".") or entry.name.casefold() in SERVICE_NAMES:
            tree.services[_relative(tree, entry.path)] = _files_in(entry)
            continue
        link, kind = entry.is_symlink(), _kind(entry)
        real = os.path.realpath(entry.path) if link else os.path.join(folder.real, entry.name)
        if kind == "file":
            folder.files[entry.name] = real
        elif kind == "broken link":
            tree.broken_links.append(_relative(tree, entry.path))
        elif kind == "special":
            tree.special.append(_relative(tree, entry.path))
        elif link and os.path.join(folder.real, "").startswith(os.path.join(real, "")):
            tree.repeated_links.append(_relative(tree, entry.path))
        else:
            inner = folder.folders[entry.name] = Folder(entry.path, real, by_link=folder.by_link or link)
            if link:
                links.append(inner)
    return links


def _kind(entry: os.DirEntry[str]) -> Literal["file", "folder", "special", "broken link"]:
    """Return what an entry is, or leads to. Of what is no link this asks the disk nothing more."""
    try:
        if entry.is_file():
            return "file"
        if entry.is_dir():
            return "folder"
        return "broken link" if entry.is_symlink() and not os.path.exists(entry.path) else "special"
    except OSError:  # a link to itself
        return "broken link"


def _files_in(entry: os.DirEntry[str]) -> int:
    """Return how many files there are in a folder, as far as it can be read; 1 for a file."""
    if not entry.is_dir(follow_symlinks=False):
        return 1
    return sum(len(names) for _, _, names in os.walk(entry.path))


def _relative(tree: FileTree, path: str) -> str:
    return printable(os.path.relpath(path, tree.root.path))
