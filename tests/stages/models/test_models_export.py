"""Every model exports through the project's own export, for any batch and any free length, and answers as in torch."""

import dataclasses
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from stages import discover
from stages.export import convert
from tests.stages.models.cases import Case, case, rows_of

DEEP = (  # or like another one in what its graph is made of
    "alexnet",
    "deeplabv3",
    "densenet121",
    "densenet_bc",
    "fpn_fusion",
    "googlenet",
    "gru",
    "lstm",
    "inception_v3",
    "lenet_numpy",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "pyramid_resnet18",
    "r3d_18",
    "resnet18",
    "resnet34",
    "resnet50",
    "timm",
    "unet",
    "vgg",
)
STEPPED = ("char_gru",)  # only one step of it is ever exported, and torch's GRU over free lengths is not
QUICK = [name for name in discover.found("models") if name not in (*DEEP, *STEPPED)]


class Rows(torch.nn.Module):
    """A network's features as one tensor (N, values), also where it gives several."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return rows_of(self.net(x))


def agree(of: Case) -> None:
    net = Rows(of.build()).eval()
    program = convert.export(net, of.signature, ["features"], 20)
    proto = program.model_proto
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 20)]
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for rows, free in ((1, 9), (5, 64)):
        batch = of.inputs(rows, free)
        if of.tokens:
            batch[0, free // 2 :] = 0
        with torch.inference_mode():
            expected = net(batch).numpy()
        found = session.run(None, {"x": batch.numpy()})[0]
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", QUICK)
def test_exported_answers_are_those_of_torch(name: str) -> None:
    agree(case(name))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lenet5", {"shared": False, "pooling": "l2", "activation": "silu", "batch_norm": True, "dropout": 0.5}),
        ("resnet_cifar", {"depth": 8, "pooling": "l2", "activation": "tanh", "batch_norm": False, "residual": False}),
        ("gru", {"summary": "last"}),
    ],
)
def test_exported_answers_are_those_of_torch_with_other_options(name: str, options: dict[str, Any]) -> None:
    agree(dataclasses.replace(case(name), options=options))


@pytest.mark.matrix
@pytest.mark.parametrize("name", DEEP)
def test_exported_answers_of_more_nets_are_those_of_torch(name: str) -> None:
    agree(case(name))


@pytest.mark.matrix
@pytest.mark.parametrize("name", ["alexnet", "googlenet", "mobilenet_v3_small", "resnet18", "vgg"])
def test_exported_answers_for_larger_pictures_are_those_of_torch(name: str) -> None:
    agree(Case(name, (3, 80, 96), tokens=False))
