"""Exporting more than once in a process."""

import pytest
import torch
from torch import nn

from deploy.bundle import Signature, TensorSpec
from stages.export import convert

SERIES = Signature("series", (TensorSpec("series", "float32", ("batch", "time", 3), (-1.0, 1.0)),))


class Recurrent(nn.Module):
    def __init__(self, layer: type[nn.RNNBase]) -> None:
        super().__init__()
        self.layer = layer(3, 4, batch_first=True)

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        return self.layer(series)[0][:, -1]  # type: ignore[no-any-return]


@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU])
def test_the_length_of_a_series_stays_free(layer: type[nn.RNNBase]) -> None:
    for _ in range(2):
        model = convert.export(Recurrent(layer).eval(), SERIES, ["last"], 20).model_proto
        assert [dim.dim_param for dim in model.graph.input[0].type.tensor_type.shape.dim][:2] == ["batch", "time"]
