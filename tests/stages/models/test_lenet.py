import pytest
import torch
from torch import nn

from deploy.errors import UsageError
from stages.models.lenet import lenet5, lenet_numpy


@pytest.mark.parametrize("make", [lenet5, lenet_numpy])
def test_lenet_names_the_smallest_size(make):
    with pytest.raises(UsageError, match=r"LeNet needs at least 1[26] px a side, got 8; raise input"):
        make((1, 8, 8))


@pytest.mark.parametrize(("make", "smallest"), [(lenet5, 12), (lenet_numpy, 16)])
def test_lenet_takes_the_smallest_size(make, smallest):
    net = make((1, smallest, smallest))
    assert net(torch.zeros(1, 1, smallest, smallest)).shape == (1, net.out_features)
    with pytest.raises(UsageError, match="at least"):
        make((1, smallest - 1, smallest))


def test_lenet_numpy_draws_its_weights_as_the_text_does():
    torch.manual_seed(0)
    first, second = (layer for layer in lenet_numpy((1, 28, 28)).features if isinstance(layer, nn.Conv2d))
    assert first.weight.std().item() == pytest.approx((6 / (3 * 1 * 25)) ** 0.5, rel=0.15)
    assert second.weight.std().item() == pytest.approx((16 / (3 * 6 * 25)) ** 0.5, rel=0.05)
    assert not first.bias.any()
    assert sum(p.numel() for p in lenet_numpy((1, 28, 28)).parameters()) == 156 + 2416


def test_lenet5_is_the_papers_without_its_last_layer():
    net = lenet5((1, 28, 28))
    assert sum(p.numel() for p in net.parameters()) == 156 + 2416 + 48120 + 10164
    assert [type(layer) for layer in net.features[:3]] == [nn.Conv2d, nn.ReLU, nn.MaxPool2d]


def test_lenet5_switches():
    net = lenet5((1, 28, 28), activation="tanh", pooling="average", batch_norm=True, dropout=0.5)
    kinds = {type(layer) for layer in net.features}
    assert {nn.Tanh, nn.AvgPool2d, nn.BatchNorm2d, nn.Dropout} <= kinds
    assert not {nn.ReLU, nn.MaxPool2d} & kinds


def test_without_sharing_each_place_has_its_kernels():
    net = lenet5((1, 28, 28), shared=False)
    assert sum(p.numel() for p in net.features[0].parameters()) == 28 * 28 * 156
    assert sum(p.numel() for p in net.features[3].parameters()) == 10 * 10 * 2416
    with pytest.raises(UsageError, match="init is 'he_normal', which is for shared weights"):
        lenet5((1, 28, 28), shared=False, init="he_normal")
