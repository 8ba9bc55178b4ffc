import pytest
import torch

from deploy.errors import UsageError
from stages import discover
from stages.recipe import use


@pytest.mark.parametrize(("stride", "side"), [(1, 17), (2, 9), (4, 5)])
def test_a_map_has_the_picture_s_size_over_the_stride(stride: int, side: int) -> None:
    net = discover.call("models", use("hourglass", width=4, stride=stride, depth=2), (1, "height", "width")).eval()
    assert net(torch.randn(2, 1, 17, 33)).shape == (2, 8, side, -(-33 // stride))
    assert net(torch.randn(1, 1, 1, 1)).shape == (1, 8, 1, 1)


def test_each_place_of_the_map_has_seen_all_of_the_picture() -> None:
    torch.manual_seed(0)
    net = discover.call("models", use("hourglass", width=4, depth=3), (1, 96, 96)).eval()
    picture = torch.randn(1, 1, 96, 96, requires_grad=True)
    net(picture)[0, :, 0, 0].sum().backward()
    assert picture.grad is not None
    assert picture.grad[0, 0, -16:, -16:].abs().max() > 0


def test_a_funnel_tells_where_things_are() -> None:
    """Two pictures of one bright square at two places: a mean over the last map would hardly tell them apart."""
    torch.manual_seed(0)
    net = discover.call("models", use("funnel", width=8), (1, 64, 64))
    left, right = torch.zeros(2, 1, 1, 64, 64)
    left[..., 24:40, 8:24] = right[..., 24:40, 40:56] = 1
    features = net(torch.cat([left, right]))
    assert (features[0] - features[1]).norm() > 0.3 * features[0].norm()


def test_a_funnel_of_one_step_is_none() -> None:
    with pytest.raises(UsageError, match="funnel: depth is 1, expected 2 or more"):
        discover.call("models", use("funnel", depth=1), (1, 32, 32))
