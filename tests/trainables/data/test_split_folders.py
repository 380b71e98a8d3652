"""How parts and classes are told apart in a folder of images, and what a layout that can be read two ways gets."""

import numpy as np
import pytest

from tests.support.image_folders import error_of, fill, notices_of, spec_of
from trainables.data import load_splits, load_test
from trainables.data.split_folders import part_named

PETS = ("cat", "dog")

NAMES = {
    "train": [
        "train",
        "Train",
        "TRAINING",
        "trn",
        "training_set",
        "train-images",
        "train2017",
        "seg_train",
        "Train Data",
    ],
    "val": ["val", "valid", "Validation", "dev", "DEV_SET", "eval", "evaluation", "val_images", "val2017"],
    "test": ["test", "Testing", "tst", "test_set", "holdout", "Hold-Out", "held_out", "TEST", "imgs_test"],
}
NOT_PARTS = [
    "trains",
    "training wheels",
    "contest",
    "devil",
    "value",
    "validator",
    "testament",
    "tram",
    "evaluated",
    "t",
]


@pytest.mark.parametrize(("name", "part"), [(name, part) for part, names in NAMES.items() for name in names])
def test_a_part_is_known_by_its_name(name, part):
    assert part_named(name) == part


@pytest.mark.parametrize("name", NOT_PARTS)
def test_other_names_are_no_parts(name):
    assert part_named(name) is None


@pytest.mark.parametrize("index", range(9))
def test_every_spelling_gives_the_same_parts(tmp_path, index):
    for seed, (part, names) in enumerate(NAMES.items()):
        fill(tmp_path / "plain" / part, classes=PETS, each=6, seed=seed)
        fill(tmp_path / "other" / names[index], classes=PETS, each=6, seed=seed)
    plain, other = (load_splits(spec_of(tmp_path / name)) for name in ("plain", "other"))
    assert other.fingerprint == plain.fingerprint
    train, val, test = (names[index] for names in NAMES.values())
    text = f"parts: {train!r} for training, {val!r} for validation, {test!r} for test"
    assert notices_of(tmp_path / "other")["parts"].text == text


@pytest.mark.parametrize("missing", [("dev",), ("holdout",), ("dev", "holdout")])
def test_a_part_without_a_folder_or_with_an_empty_one_is_cut_from_train(tmp_path, missing):
    for seed, name in enumerate(("training", "dev", "holdout")):
        if name not in missing:
            fill(tmp_path / "pets" / name, classes=PETS, each=20, seed=seed)
    before = load_splits(spec_of(tmp_path / "pets"))
    for name in missing:
        (tmp_path / "pets" / name / "cat").mkdir(parents=True)
    after = load_splits(spec_of(tmp_path / "pets", seed=0))
    assert after.fingerprint == before.fingerprint
    assert {*after.val.y, *load_test(spec_of(tmp_path / "pets")).y} == {0, 1}
    assert notices_of(tmp_path / "pets")["empty_folders"].names == missing


def build(root, layout):
    """Write folders of images: a path with ``*`` at its end holds five images, others are empty."""
    for seed, name in enumerate(layout.split()):
        fill(root, classes=(name.removesuffix("*"),), each=5 * name.endswith("*"), seed=seed)
    return root


DEEPER = "if it is a class, the classes belong one folder deeper, such as {root}/train/"
NO_FOLDERS = "is named like a part, but has no folder with images for each class"
REFUSED = {
    "01_train/cat* 01_train/dog* 02_test/cat*": "all of its folders speak of parts ('01_train', '02_test')",
    "Trainingsdaten/cat* Testdaten/dog*": "all of its folders speak of parts ('Testdaten', 'Trainingsdaten')",
    "x_train* x_val*": "all of its folders speak of parts ('x_train', 'x_val'); name them train, val and test; if they "
    "are classes, they belong one folder deeper, such as train/x_train",
    "plane* train*": f"'train' {NO_FOLDERS}; {DEEPER}train",
    "cat* dog* Test/cat* Test/dog*": "'Test' is named like a part beside 'cat', 'dog', and there is no train; "
    f"{DEEPER}Test; if not, 'cat', 'dog' belong into {{root}}/train",
    "cat* dev* val*": "'dev', 'val' are named like parts beside 'cat', and there is no train",
    "train/cat* train/dog* test*": f"'test' {NO_FOLDERS}; --data images:{{root}}/train reads 'train' alone",
    "train/cat* train/dog* Training/cat*": "'Training', 'train' are all named like the training part; keep or rename",
    "train/cat* train/dog* val/cat* valid/cat*": "'val', 'valid' are all named like the validation part",
    "train/Cat* train/dog* val/cat* val/dog*": "val has classes that train has not: 'cat'; spelled otherwise: "
    "'cat' for 'Cat'",
    "cat/train* dog/train* cat/test* dog/test*": "folders of classes hold folders named like parts (cat/test, "
    "cat/train, dog/test, dog/train); the parts come first: expected test/cat, or another name",
    "train/train/cat* train/val/cat*": "'train' is named like the training part, and its folders, 'train', 'val', like "
    "parts too; give --data images:{root}/train, or name the classes otherwise",
    "cat* dog* notes": "a class has no image that can be read: 'notes' (0 files); if it is no class, move its folder",
    "cat*": " has 1 class(es) ('cat'); at least two are needed",
    "pets/cat*": " has 1 class(es) ('cat'); at least two are needed",
}


@pytest.mark.parametrize("layout", REFUSED)
def test_a_layout_that_is_unclear_is_refused_with_what_to_do(tmp_path, layout):
    assert REFUSED[layout].format(root=tmp_path) in error_of(build(tmp_path, layout))


WRAPPED = [
    "{0}/cat* {0}/dog*",
    "a/{0}/cat* a/{0}/dog*",
    "{0}/train/cat* {0}/train/dog*",
    "train/{0}/cat* train/{0}/dog*",
]


@pytest.mark.parametrize("layout", WRAPPED)
def test_one_folder_too_many_is_passed_through_and_said(tmp_path, layout):
    folder = build(tmp_path / "pets", layout.format("animals"))
    fill(folder, classes=("__MACOSX/animals",), each=2)
    (folder / "README.txt").write_text("about")
    splits = load_splits(spec_of(folder))
    assert splits.labels == PETS
    assert len(splits.train) + len(splits.val) + splits.test_examples == 10
    texts = [notice.text for notice in splits.notices]
    assert "one folder too many: the folders in 'animals', the only one there, are read" in texts
    assert "not read, hidden or a system's own: 2 files ('__MACOSX' 2)" in texts


def test_folders_that_repeat_in_every_class_may_be_the_classes(tmp_path):
    found = notices_of(build(tmp_path, "one/cat* one/dog* two/cat* two/dog*"))["classes_like_parts"]
    assert found.warning
    assert found.text.startswith("the folders 'cat', 'dog' are in each of 'one', 'two', which are read as the classes")


def test_folders_below_classes_are_said(tmp_path):
    found = notices_of(build(tmp_path, "bird/owl* bird/hen* pet/cat* pet/dog*"))["folders_in_classes"]
    assert (found.names, found.warning) == (("bird/hen", "bird/owl", "pet/cat", "pet/dog"), True)


@pytest.mark.parametrize("layout", ["trainer* tester* cat*", "traindriver* trainee*"])
def test_classes_that_only_begin_like_parts_are_read(tmp_path, layout):
    assert len(load_splits(spec_of(build(tmp_path, layout))).labels) == len(layout.split())


def test_classes_that_a_part_lacks_are_named(tmp_path):
    found = notices_of(build(tmp_path, "train/cat* train/dog* train/emu* val/cat*"))["absent_classes"]
    assert (found.names, found.warning) == (("dog", "emu"), True)
    assert found.text == "val has no image of 2 of the 3 classes: 'dog', 'emu'"


def test_classes_spelled_alike_are_named(tmp_path):
    assert notices_of(build(tmp_path, "train/Cat* train/cat*"))["alike_classes"].names == ("Cat", "cat")


def test_a_class_whose_name_cannot_be_printed_is_refused(tmp_path):
    line = error_of(build(tmp_path / "pets", "cat* dog* \udcff*"))
    assert line.endswith(r"names of classes that cannot be printed: \udcff; rename these folders")


def test_every_part_that_has_no_image_is_named(tmp_path):
    folder = build(tmp_path / "pets", "train/cat* train/dog* test/cat")
    (folder / "test" / "cat" / "list.txt").write_text("nothing")
    assert error_of(folder).endswith(
        "'test' is named like a part, but has no folder with images for each class; "
        f"--data images:{folder}/train reads 'train' alone"
    )


def test_labels_of_parts_agree(tmp_path):
    folder = build(tmp_path, "Training/cat* Training/dog* TEST/dog* TEST/cat*")
    assert np.array_equal(load_test(spec_of(folder)).y, np.repeat([0, 1], 5))
