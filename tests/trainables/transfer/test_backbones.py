import pytest
import torch
from torch import nn
from torchvision import models

from trainables.errors import ConfigError
from trainables.transfer.backbones import (
    backbone_names,
    build_backbone,
    check_name,
    fixed_image,
    smallest_image,
    stage_names,
)
from trainables.transfer.config import NARROW
from trainables.transfer.stage_cuts import FAMILIES

QUICK = ("resnet18", "mobilenet_v3_small", "efficientnet_b0", "mobilenet_v2", "densenet121", "squeezenet1_1")
QUICK = (NARROW, *QUICK, "mnasnet0_5", "regnet_y_400mf", "shufflenet_v2_x0_5", "googlenet", "inception_v3")
LARGE = ("convnext_tiny", "swin_t", "swin_v2_t", "vgg11_bn", "alexnet", "maxvit_t", "vit_b_16")


def composed(backbone, x):
    for stage in backbone.stages:
        for layer in stage.layers:
            x = layer(x)
    return x


def seen_by_the_head(backbone, images):
    """Return what the model's own ``forward`` gives to its last layer with weights of its head."""
    seen = []
    linear = [m for m in backbone.model.modules() if isinstance(m, nn.Linear)]
    head = backbone.model.classifier[1] if backbone.name.startswith("squeezenet") else linear[-1]
    if hasattr(backbone.model, "fc"):
        head = backbone.model.fc
    handle = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    backbone.model(images)
    handle.remove()
    return seen[0].mean((2, 3)) if seen[0].ndim == 4 else seen[0]


def check(name):
    torch.manual_seed(0)
    backbone = build_backbone(name)
    backbone.model.eval()
    side = fixed_image(name) or max(64, smallest_image(name))
    images = torch.randn(2, 3, side, side)
    with torch.no_grad():
        found, expected = composed(backbone, images), seen_by_the_head(backbone, images)
    assert found.shape == (2, backbone.features)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", QUICK)
def test_the_stages_in_a_row_compute_what_the_model_gives_its_head(name):
    check(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_the_stages_of_large_models_compute_what_the_model_gives_its_head(name):
    check(name)


@pytest.mark.slow
def test_every_classification_model_of_torchvision_is_cut_with_nothing_left_over():
    families = set()
    for name in models.list_models(module=models):
        if name.startswith("regnet"):
            continue  # torchvision computes its widths, which a device without memory cannot; one is checked above
        with torch.device("meta"):
            backbone = build_backbone(name)
        families.add(type(backbone.model).__name__)
        heads = {key.split(".")[0] for key in backbone.head_keys}
        assert heads <= {"fc", "classifier", "head", "heads", "aux1", "aux2", "AuxLogits"}, name
        assert len(set(backbone.stage_names)) == len(backbone.stages) > 2, name
    assert families == FAMILIES.keys() - {"RegNet", "NarrowResNet"}


def test_a_resnets_stages_are_named_in_order_from_the_input():
    assert stage_names("resnet18") == ("stem", "layer1", "layer2", "layer3", "layer4") == stage_names(NARROW)


def test_naming_the_stages_leaves_the_global_random_numbers_alone():
    stage_names.cache_clear()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    stage_names("mobilenet_v3_small")
    assert torch.equal(torch.rand(2), expected)


def test_no_layer_of_a_backbone_writes_into_its_input():
    backbone = build_backbone("mobilenet_v3_small")
    assert not any(getattr(module, "inplace", False) for module in backbone.model.modules())


def test_an_unknown_backbone_gets_the_nearest_name():
    with pytest.raises(ConfigError, match="unknown backbone 'resnet81'. Did you mean 'resnet18'?"):
        check_name("resnet81")
    assert backbone_names()[0] == NARROW and "efficientnet_b0" in backbone_names()
