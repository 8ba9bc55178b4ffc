"""One network a model that discovery finds, of the kind its `shape` is annotated as, and inputs for it."""

import typing
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import nn

from deploy.bundle import Signature, TensorSpec
from stages import discover, shapes
from stages.recipe import use

SHAPES: dict[Any, list[tuple[int | str, ...]]] = {
    shapes.Picture: [(1, 28, 28), (3, 32, 24)],
    shapes.Series: [(1, "time"), (3, 50)],
    shapes.FixedSeries: [(1, 23), (3, 50)],
    shapes.Volume: [(1, 9, 12, 10), (2, 8, 8, 8)],
    shapes.AnyPicture: [(1, "height", "width"), (3, 20, 33)],
    shapes.AnyVolume: [(1, "depth", "height", "width"), (2, 5, 8, 9)],
    shapes.Tokens: [("length", 50), (12, 300)],
    shapes.History: [("ids", 50, 50), (12, 90, 70)],
}
OPTIONS: dict[str, dict[str, Any]] = {  # where the default is larger than a test needs
    "densenet_bc": {"depth": 10},
    "inceptiontime": {"depth": 4, "ensemble": 2},
    "resnet_cifar": {"depth": 14},
    "timm": {"architecture": "test_resnet"},
    "vgg": {"depth": 11},
}


@dataclass(frozen=True)
class Case:
    """A network, the shape it was made for, and whether it takes tokens."""

    name: str
    shape: tuple[int | str, ...]
    tokens: bool
    options: dict[str, Any] = field(default_factory=dict)

    def build(self) -> nn.Module:
        torch.manual_seed(0)
        net: nn.Module = discover.call(
            "models", use(self.name, **{**OPTIONS.get(self.name, {}), **self.options}), self.shape
        )
        return net

    def inputs(self, rows: int, free: int = 23) -> torch.Tensor:
        """Return a batch; free sizes are `free`."""
        generator = torch.Generator().manual_seed(rows)
        if self.tokens:
            length = free if isinstance(self.shape[0], str) else self.shape[0]
            return torch.randint(1, min(map(int, self.shape[1:])), (rows, length), generator=generator)
        free = min(free, 16) if len(self.shape) == 4 else free
        sizes = (size if isinstance(size, int) else free for size in self.shape)
        return torch.randn(rows, *sizes, generator=generator)

    @property
    def signature(self) -> Signature:
        if self.tokens:
            spec = TensorSpec("x", "int64", ("batch", self.shape[0]), (0.0, float(self.shape[1]) - 1))
        else:
            spec = TensorSpec("x", "float32", ("batch", *self.shape), (-1.0, 1.0))
        return Signature("tensor", (spec,))


def rows_of(features: torch.Tensor | tuple[torch.Tensor, ...]) -> torch.Tensor:
    """What a network gives, a tensor or several, as (N, values)."""
    parts = (features,) if isinstance(features, torch.Tensor) else features
    return torch.cat([part.flatten(1) for part in parts], dim=1)


def kind(name: str) -> Any:
    """The annotation of a model's `shape`."""
    return typing.get_type_hints(discover.find("models", name).function(), include_extras=True)["shape"]


def case(name: str, number: int = 0) -> Case:
    if name == "timm":
        pytest.importorskip("timm")
    of = kind(name)
    return Case(name, SHAPES[of][number], of in (shapes.Tokens, shapes.History))
