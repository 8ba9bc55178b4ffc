import pytest
import torch

from deploy.errors import UsageError
from stages import discover
from stages.models.lenet import lenet5, lenet_numpy
from stages.models.resnet import Residual, resnet_small
from stages.recipe import use

MODELS = sorted(discover.found("models"))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 20)], ids=str)
def test_every_model_makes_the_features_it_says(name, shape):
    net = discover.call("models", use(name), shape)
    features = net(torch.zeros(2, *shape))
    assert features.shape == (2, net.out_features)
    assert features.dtype == torch.float32


@pytest.mark.parametrize("name", MODELS)
def test_every_model_answers_row_by_row(name):
    torch.manual_seed(0)
    net = discover.call("models", use(name), (3, 28, 28)).eval()
    batch = torch.randn(4, 3, 28, 28)
    assert torch.allclose(net(batch)[2:3], net(batch[2:3]), atol=1e-5)


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
    first, second = (layer for layer in lenet_numpy((1, 28, 28)).features if isinstance(layer, torch.nn.Conv2d))
    assert first.weight.std().item() == pytest.approx((6 / (3 * 1 * 25)) ** 0.5, rel=0.15)
    assert second.weight.std().item() == pytest.approx((16 / (3 * 6 * 25)) ** 0.5, rel=0.05)
    assert not first.bias.any()
    assert sum(p.numel() for p in lenet_numpy((1, 28, 28)).parameters()) == 156 + 2416


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
