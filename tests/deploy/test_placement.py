import pytest

from deploy.errors import ProviderError
from deploy.placement import CPU, CUDA, Node, Placement

CONV, SHAPE, CELU = Node("conv", "Conv", CUDA), Node("", "Concat", CPU), Node("act", "Celu", CPU)


def test_shape_arithmetic_may_stay_on_the_cpu() -> None:
    placement = Placement((CONV, SHAPE))
    placement.prove(CUDA)
    assert placement.counts == {CUDA: 1, CPU: 1}


@pytest.mark.parametrize(
    ("placement", "words"),
    [
        (Placement((CONV, CELU)), "1 of 2 nodes would run on CPUExecutionProvider: Celu 'act'"),
        (Placement((Node("", "Conv", CPU),) * 9), "9 of 9 nodes .*Conv, Conv, Conv, Conv, Conv, ...;"),
        (Placement((CONV, SHAPE), copies=2), "copies tensors between the devices in 2 places"),
        (Placement((SHAPE,)), "no node of the graph runs there"),
        (Placement(()), "no node of the graph runs there"),
    ],
)
def test_anything_else_is_refused(placement: Placement, words: str) -> None:
    with pytest.raises(ProviderError, match=words):
        placement.prove(CUDA)
