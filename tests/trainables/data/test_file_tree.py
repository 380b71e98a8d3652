"""What is found below a folder of images: links once, nothing that is not an image's file, no waiting."""

import os
import shutil
import socket
import tempfile
from pathlib import Path

import pytest

from tests.support.image_folders import error_of, fill, notices_of, spec_of
from trainables.data import load_splits
from trainables.data.file_tree import read_tree
from trainables.data.image_listing import list_images

PETS = ("cat", "dog")


def examples(folder):
    splits = load_splits(spec_of(folder))
    return len(splits.train) + len(splits.val) + splits.test_examples


SERVICES = [".ipynb_checkpoints/", "@eaDir/", "__MACOSX/", "__pycache__/", "LOST+FOUND/", ".git/objects/", "@__thumb/"]
FILES = ["._000.png", "Thumbs.db", ".DS_Store", "DESKTOP.INI", "ehthumbs.db"]


@pytest.mark.parametrize("name", SERVICES + FILES)
@pytest.mark.parametrize("where", ["cat", "."])
def test_what_systems_put_into_folders_is_left_out_and_counted(tmp_path, where, name):
    folder = fill(tmp_path / "pets", classes=PETS)
    before = load_splits(spec_of(folder))
    place = folder / where / name
    if name.endswith("/"):
        shutil.copytree(folder / "cat", place)
    else:
        shutil.copy(folder / "cat" / "000.png", place)
    assert load_splits(spec_of(folder, seed=0)).fingerprint == before.fingerprint
    found = notices_of(folder)["hidden_files"]
    top = os.path.normpath(f"{where}/{name.split('/')[0]}")
    assert found.names == (top,)
    assert found.text.endswith(f"20 files ('{top}' 20)" if name.endswith("/") else f"1 file ('{top}')")


def test_links_that_lead_in_circles_add_nothing(tmp_path):
    folder = fill(tmp_path / "pets", classes=PETS)
    before = load_splits(spec_of(folder))
    (folder / "cat" / "up").symlink_to("..")
    (folder / "dog" / "self").symlink_to(".")
    (folder / "dog" / "other").symlink_to("../cat")
    (folder / "top").symlink_to(tmp_path)
    assert load_splits(spec_of(folder, seed=0)).fingerprint == before.fingerprint
    found = notices_of(folder)["repeated_links"]
    assert found.warning
    assert {"cat/up", "dog/self", "top"} <= set(found.names)
    assert any(name.startswith("dog/other/") for name in found.names)


def test_folders_tied_by_many_links_are_walked_once_each(tmp_path):
    for i in range(8):
        (tmp_path / f"f{i}").mkdir()
        (tmp_path / f"f{i}" / f"{i}.png").write_bytes(b"")
        for j in range(8):
            (tmp_path / f"f{i}" / f"to{j}").symlink_to(tmp_path / f"f{j}")
    folders = list(read_tree(tmp_path).root.below())
    assert sum(len(folder.files) for folder in folders) <= 16  # for itself and over one link


def test_what_is_linked_from_elsewhere_is_read(tmp_path):
    pool = fill(tmp_path / "pool", classes=PETS)
    plain, linked = fill(tmp_path / "plain" / "a", classes=PETS).parent, tmp_path / "linked"
    (linked / "dog").mkdir(parents=True)
    (linked / "cat").symlink_to(pool / "cat")
    for file in (pool / "dog").iterdir():
        (linked / "dog" / file.name).symlink_to(file)
    assert load_splits(spec_of(linked)).fingerprint == load_splits(spec_of(plain)).fingerprint
    assert "repeated_links" not in notices_of(linked)


def test_a_link_to_an_image_of_another_part_is_not_a_second_image(tmp_path):
    folder = tmp_path / "pets"
    for seed, part in enumerate(("train", "val")):
        fill(folder / part, classes=PETS, each=6, seed=seed)
    (folder / "val" / "cat" / "linked.png").symlink_to("../../train/cat/000.png")
    assert notices_of(folder)["repeated_links"].names == ("val/cat/linked.png",)
    assert examples(folder) == 24


def test_a_class_that_is_a_link_to_another_class_is_refused(tmp_path):
    folder = fill(tmp_path / "pets", classes=PETS)
    (folder / "latest").symlink_to("cat")
    assert error_of(folder).endswith(": classes that are only links to what is read anyway: 'latest'")


def test_pipes_sockets_devices_and_dead_links_are_not_opened(tmp_path, monkeypatch):
    folder = fill(tmp_path / "pets", classes=PETS)
    os.mkfifo(folder / "cat" / "pipe.png")
    (folder / "dog" / "endless.png").symlink_to("/dev/zero")
    (folder / "dog" / "dead.png").symlink_to("nowhere")
    (folder / "dog" / "me.png").symlink_to("me.png")
    monkeypatch.chdir(folder / "cat")  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("talk.png")
        found = notices_of(folder)
    assert found["special_files"].names == ("cat/pipe.png", "cat/talk.png", "dog/endless.png")
    assert found["broken_links"].names == ("dog/dead.png", "dog/me.png")
    assert examples(folder) == 40


@pytest.mark.parametrize(
    ("closed", "said"),
    [
        ("dog", ": 1 folder cannot be read: {root}/dog (Permission denied)"),
        (".", " cannot be read: Permission denied ({root})"),
        (
            "dog/000.png",
            ": 1 of 40 images cannot be opened (permission denied): 'dog/000.png'; up to 1% would be skipped",
        ),
    ],
)
def test_what_nobody_may_read_is_named(unprivileged, closed, said):
    with tempfile.TemporaryDirectory() as root:  # others may enter it, as they may not enter tmp_path
        Path(root).chmod(0o755)
        folder = fill(Path(root) / "pets", classes=PETS)
        load_splits(spec_of(folder))  # who has no permissions may not be able to import the rest either
        mode = (folder / closed).stat().st_mode
        (folder / closed).chmod(0)
        with unprivileged():
            line = error_of(folder, seed=1)
        (folder / closed).chmod(mode)
    assert line == f"--data images:{folder}{said.format(root=folder)}"


def test_the_order_is_that_of_torchvision(tmp_path):
    from torchvision.datasets import ImageFolder

    for name in ("cat/b", "cat/a-b", "cat/a", "cat/a/z", "cat/a/b", "dog"):
        fill(tmp_path, classes=(name,), each=2)
    assert list(map(str, list_images(tmp_path).files)) == [file for file, _ in ImageFolder(tmp_path).samples]
