import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from tests.trainables.transfer.conftest import TRANSFER, configured, started
from trainables import checkpoint
from trainables.data import DataSpec, load_splits
from trainables.notice import TryOut
from trainables.transfer.initial_weights import load_weights

FILE = "resnet18-f37072fd.pth"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def silent(line):
    pass


def wrong(splits, **params):
    (line,) = TRANSFER.try_out([configured(backbone="resnet18", **params)], splits).errors
    return line


def state():
    torch.manual_seed(5)
    return models.resnet18(weights=None).state_dict()


def test_absent_imagenet_weights_get_one_line_with_the_file_its_folder_and_the_other_choices(splits, hub):
    line = wrong(splits, weights="imagenet")
    assert "\n" not in line and line.startswith(
        f"--weights imagenet: {FILE} is not in {hub}; put it there (from https://"
    )
    for choice in ("--download", "--weights source", "--weights FILE", "--weights none"):
        assert choice in line


def test_imagenet_weights_in_place_are_used_with_their_own_preprocessing(splits, hub):
    torch.save(state(), hub / FILE)
    config = configured(backbone="resnet18", weights="imagenet", freeze_depth=5)
    assert TRANSFER.try_out([config], splits) == TryOut()
    found = load_weights(config, splits, silent)
    assert torch.equal(found.state["conv1.weight"], state()["conv1.weight"]) and "fc.weight" not in found.state
    assert (found.preprocessing.resize, found.preprocessing.crop) == (256, 224)
    assert found.preprocessing.mean == (0.485, 0.456, 0.406)
    assert "which is not torchvision's own" in found.origin and FILE in found.origin  # its name has another hash


def test_a_size_of_ones_own_replaces_the_weights_resizing(splits, hub):
    torch.save(state(), hub / FILE)
    found = load_weights(configured(backbone="resnet18", weights="imagenet", input_size=32), splits, silent)
    assert (found.preprocessing.resize, found.preprocessing.crop) == (32, 32)


def test_a_download_that_fails_says_where_the_file_could_be_put(splits, hub, monkeypatch):
    def refused(url, *args, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refused)
    line = wrong(splits, weights="imagenet", download=True)
    assert line.startswith(
        f"--weights imagenet: {FILE} could not be downloaded (no route to host); it may be put into {hub}"
    )


def test_the_narrow_resnet_has_no_imagenet_weights(splits):
    (line,) = TRANSFER.try_out([configured(weights="imagenet")], splits).errors
    assert line.startswith("--weights imagenet: torchvision has none for narrow_resnet; choose a --backbone such as")


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_a_file_of_weights_is_checked_hashed_and_used(splits, tmp_path, ending):
    file = tmp_path / f"mine.{ending}"
    if ending == "pt":
        torch.save(state(), file)
    else:
        save_file(state(), file)
    found = load_weights(configured(backbone="resnet18", weights=str(file), input_size=32), splits, silent)
    assert torch.equal(found.state["layer4.1.bn2.weight"], state()["layer4.1.bn2.weight"])
    assert len(found.sha256) == 64 and found.sha256[:16] in found.origin and str(file) in found.origin


def test_keys_that_are_missing_unexpected_or_of_another_shape_are_counted_and_named(splits, tmp_path):
    file = tmp_path / "mine.pt"
    broken = state()
    for name in ("conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean"):
        del broken[name]
    broken["backbone.conv1.weight"] = torch.zeros(1)
    broken["layer1.0.bn1.bias"] = torch.zeros(3)
    torch.save(broken, file)
    line = wrong(splits, weights=str(file))
    assert line == (
        f"--weights {file} does not fit resnet18: of its 120 keys 4 missing (bn1.bias, bn1.running_mean, "
        "bn1.weight ...), 1 unexpected (backbone.conv1.weight), 1 of another shape (layer1.0.bn1.bias)"
    )


def test_the_head_in_a_weights_file_is_left_out_whatever_its_size(splits, tmp_path):
    file = tmp_path / "mine.pt"
    others = {**state(), "fc.weight": torch.zeros(7, 512), "fc.bias": torch.zeros(7)}
    torch.save(others, file)
    assert TRANSFER.try_out([configured(backbone="resnet18", weights=str(file), input_size=32)], splits) == TryOut()


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_damaged_weights_file_is_refused(splits, tmp_path, ending, share):
    file = tmp_path / f"mine.{ending}"
    if ending == "pt":
        torch.save(state(), file)
    else:
        save_file(state(), file)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    line = wrong(splits, weights=str(file))
    assert line.startswith(f"--weights {file} is damaged, or holds more than weights, and is not loaded (")


def test_a_weights_file_that_is_a_pickle_is_never_run(splits, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    file = tmp_path / "evil.pt"
    torch.save({"conv1.weight": Evil()}, file)
    assert "holds more than weights (io.open), and is not loaded" in wrong(splits, weights=str(file))
    assert not (tmp_path / "ran").exists()


def test_a_file_whose_hash_lies_beside_it_is_verified(splits, tmp_path):
    file = tmp_path / "mine.pt"
    checkpoint.save({"backbone": state()}, file)
    checkpoint.hash_path(file).write_text("0" * 64)
    assert "is damaged: its sha256 is not the one beside it" in wrong(splits, weights=str(file))


def test_an_absent_weights_file_gets_the_other_choices(splits):
    line = wrong(splits, weights="/nowhere/resnet18.pt")
    assert line.startswith("--weights /nowhere/resnet18.pt: there is no such file; --weights source ")


def test_learned_weights_are_made_once_and_found_again(splits, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    said = []
    first = load_weights(configured(), splits, said.append)
    assert [line.split(",")[0] for line in said][0] == "weights: narrow_resnet learns from digits (5 classes)"
    again = []
    second = load_weights(configured(), splits, again.append)
    assert again == [] and second.sha256 == first.sha256
    assert second.origin == first.origin and "learned from digits (5 classes) for 1 epochs" in first.origin
    assert all(torch.equal(first.state[name], second.state[name]) for name in first.state)
    load_weights(configured(source_epochs=2), splits, again.append)
    assert again, "another recipe makes other weights"


def test_damaged_learned_weights_are_made_anew(splits, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    expected = load_weights(configured(), splits, silent)
    (file,) = tmp_path.rglob("source-*.pt")
    file.write_bytes(file.read_bytes()[:1000])
    assert load_weights(configured(), splits, silent).sha256 == expected.sha256, "bit for bit"


def test_learned_weights_can_be_given_as_a_file(splits, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    learned = load_weights(configured(), splits, silent)
    (file,) = tmp_path.rglob("source-*.pt")
    given = load_weights(configured(weights=str(file)), splits, silent)
    assert given.preprocessing == learned.preprocessing and given.sha256 == learned.sha256


def test_weights_none_is_one_set_of_random_weights_for_all_trials(splits):
    found = load_weights(configured(weights="none"), splits, silent)
    assert found.state is None and found.preprocessing.resize == 0
    assert len(started(splits, weights="none", freeze_depth=5).step().metrics) > 2


def test_a_data_set_with_all_its_classes_needs_other_data_to_learn_from():
    whole = load_splits(DataSpec("digits", pixels=True, train_examples=50))
    (line,) = TRANSFER.try_out([configured()], whole).errors
    assert line.startswith(
        "weights source: the data are not one half of the classes (data.half), and source_data names"
    )
    assert TRANSFER.try_out([configured(source_data="digits")], whole) == TryOut()


@pytest.mark.parametrize(
    ("params", "start"),
    [
        ({"backbone": "resnet81"}, "unknown backbone 'resnet81'. Did you mean 'resnet18'?"),
        ({"freeze_depth": 6}, "freeze_depth 6 is beyond the 5 stages of narrow_resnet: stem, layer1, layer2, layer3, "),
        ({"input_size": 4}, "narrow_resnet needs images of at least 8 pixels, got 4; use --image-size 8 or more"),
        (
            {"backbone": "alexnet", "weights": "none"},
            "alexnet needs images of at least 63 pixels, got 8; use --image-size",
        ),
        (
            {"backbone": "vit_b_16", "weights": "none"},
            "vit_b_16 takes images of 224 pixels alone, got 8; use --image-size",
        ),
    ],
)
def test_a_transfer_that_does_not_fit_the_data_gets_one_line(splits, params, start):
    (line,) = TRANSFER.misfits(configured(**params), splits)
    assert line.startswith(start)


def test_a_transfer_refuses_a_table():
    (line,) = TRANSFER.misfits(configured(), load_splits(DataSpec("wine")))
    assert line == "a transfer needs classes of images as bytes (data.pixels); wine is a classification of float32 [13]"
