import pytest
import torch
from torch import nn
from torchvision import models

from deploy.errors import UsageError
from stages.models.densenet import densenet121, densenet_bc
from stages.models.resnet import Residual, resnet18, resnet_small
from stages.models.resnet_cifar import Block, resnet_cifar


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (64, 64), (97, 130)], ids=str)
def test_resnet_takes_any_size(size):
    net = resnet_small((3, *size), width=4).eval()
    assert net(torch.zeros(2, 3, *size)).shape == (2, 32)


def test_resnet_reads_large_pictures_at_half_their_size():
    small, large = (resnet_small((3, side, side), width=4).features[0].stride for side in (63, 64))
    assert (small, large) == ((1, 1), (2, 2))


def test_a_residual_block_adds_its_input():
    block = Residual(4, 4, stride=1).eval()
    block.branch[-1].weight.data.zero_()
    x = torch.rand(2, 4, 5, 5)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(("depth", "parameters"), [(20, 0.27e6), (32, 0.46e6), (44, 0.66e6), (56, 0.85e6)])
def test_resnet_cifar_has_the_papers_layers_and_parameters(depth, parameters):
    net = resnet_cifar((3, 32, 32), depth=depth)
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    assert len(layers) == depth - 1  # and the head
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(parameters, rel=0.02)  # table 6


def test_plain_and_residual_nets_differ_by_the_link_alone():
    residual, plain = (resnet_cifar((1, 28, 28), depth=14, residual=link) for link in (True, False))
    assert {k: v.shape for k, v in residual.state_dict().items()} == {k: v.shape for k, v in plain.state_dict().items()}
    plain.load_state_dict(residual.state_dict())
    x = torch.rand(2, 1, 28, 28)
    assert not torch.allclose(residual.eval()(x), plain.eval()(x))


def test_the_link_takes_every_second_pixel_and_no_new_channels():
    block = Block(2, 4, 2, True, "relu", True).eval()
    block.branch[-1][1].weight.data.zero_()  # the branch answers 0
    x = torch.rand(1, 2, 6, 6)
    assert torch.equal(block(x)[:, :2], x[:, :, ::2, ::2])
    assert not block(x)[:, 2:].any()


@pytest.mark.parametrize("depth", [2, 21, 0])
def test_a_depth_that_is_none_is_explained(depth):
    with pytest.raises(UsageError, match=rf"depth is {depth}, expected 6n \+ 2 \(8, 14, 20"):
        resnet_cifar((1, 28, 28), depth=depth)


def test_densenet_names_its_limits():
    with pytest.raises(UsageError, match=r"depth is 41, expected 6n \+ 4"):
        densenet_bc((1, 28, 28), depth=41)
    with pytest.raises(UsageError, match="at least 8 px a side here, got 7"):
        densenet121((1, 7, 28))


def test_densenet_bc_has_the_papers_parameters():
    net = densenet_bc((3, 32, 32), depth=100)
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(0.8e6, rel=0.06)  # table 2, k = 12


def test_torchvisions_form_is_kept_for_large_pictures_and_keeps_resolution_for_small_ones():
    large, small = resnet18((3, 224, 224)), resnet18((3, 32, 32))
    published = models.resnet18().state_dict()
    assert {k: v.shape for k, v in large.state_dict().items()} == {
        k: v.shape for k, v in published.items() if not k.startswith("fc.")
    }
    assert (large.conv1.stride, small.conv1.stride) == ((2, 2), (1, 1))
    assert large.conv1.weight.shape == small.conv1.weight.shape
    with torch.no_grad():
        before_last = small.layer3(small.layer2(small.layer1(small.maxpool(small.conv1(torch.zeros(1, 3, 32, 32))))))
    assert before_last.shape[-2:] == (8, 8)
