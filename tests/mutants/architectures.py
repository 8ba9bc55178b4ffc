"""Small networks with the parts that exports break: groups, dilation, batch norms, gates, channel shuffles, ..."""

from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torchvision.models import DenseNet, MobileNetV3, ShuffleNetV2
from torchvision.models.mobilenetv3 import InvertedResidualConfig

from stages.models.lenet import lenet5
from stages.models.resnet import resnet_small

Shape = tuple[int, int, int]


def lenet(shape: Shape) -> nn.Module:
    return lenet5(shape)


def resnet(shape: Shape) -> nn.Module:
    return resnet_small(shape, width=6)


def densenet(shape: Shape) -> nn.Module:
    """Batch norms before their convolutions: no exporter folds them."""
    net = DenseNet(growth_rate=8, block_config=(2, 2), num_init_features=16, bn_size=2, num_classes=2)
    return _Pooled(net.features, net.classifier.in_features)


def mobilenet(shape: Shape) -> nn.Module:
    """Depthwise convolutions, squeeze and excitation, hard swish."""
    make = partial(InvertedResidualConfig, dilation=1, width_mult=1.0)
    blocks = [
        make(16, 3, 16, 16, use_se=True, activation="RE", stride=1),
        make(16, 3, 24, 24, use_se=False, activation="RE", stride=2),
        make(24, 5, 40, 24, use_se=True, activation="HS", stride=1),
    ]
    net = MobileNetV3(blocks, last_channel=32, num_classes=2, norm_layer=nn.BatchNorm2d)
    return _Pooled(net.features, 6 * 24)


def shufflenet(shape: Shape) -> nn.Module:
    """Channel split and shuffle."""
    net = ShuffleNetV2([2, 1, 1], [8, 16, 32, 32, 32], num_classes=2)
    return _Pooled(nn.Sequential(net.conv1, net.stage2, net.stage3, net.conv5), 32)


class _Pooled(nn.Module):
    """Features averaged over the picture."""

    def __init__(self, features: nn.Module, out_features: int) -> None:
        super().__init__()
        self.features, self.out_features = features, out_features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.flatten(F.adaptive_avg_pool2d(F.relu(self.features(x)), 1), 1)


class AlexNet(nn.Module):
    """Grouped convolution, local response normalisation, dropout, two hidden layers of equal size."""

    out_features = 48

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(shape[0], 12, 5, stride=2, padding=2),  # (N, 12, 10, 8)
            nn.ReLU(),
            nn.LocalResponseNorm(5, alpha=1e-2, k=2.0),
            nn.MaxPool2d(3, stride=2, padding=1),  # (N, 12, 5, 4)
            nn.Conv2d(12, 16, 3, padding=1, groups=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(16 * 20, 48),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(48, 48),
            nn.ReLU(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.features(x)  # type: ignore[no-any-return]


class Inception(nn.Module):
    """Two blocks of four parallel branches, one of which averages with padding."""

    out_features = 32

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.stem = nn.Conv2d(shape[0], 12, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(12, eps=1e-3)
        self.blocks = nn.Sequential(_Block(12), _Block(32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(F.relu(self.norm(self.stem(x))))  # (N, 32, 10, 8)
        return x.mean(dim=(2, 3))


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(channels, 8, 1)
        self.three = nn.Conv2d(channels, 8, 3, padding=1)
        self.five = nn.Conv2d(channels, 8, 5, padding=2)
        self.pooled = nn.Conv2d(channels, 8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        average = F.avg_pool2d(x, 3, stride=1, padding=1)
        return torch.cat([F.relu(b) for b in (self.one(x), self.three(x), self.five(x), self.pooled(average))], dim=1)


class Dilated(nn.Module):
    """Dilated convolutions at half the size, for masks; GELU."""

    out_features = 12

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(shape[0], 12, 3, stride=2, padding=1),  # (N, 12, 10, 8)
            nn.ReLU(),
            nn.Conv2d(12, 12, 3, padding=2, dilation=2),
            nn.GELU(),
            nn.Conv2d(12, 12, 3, padding=4, dilation=4),
            nn.ReLU(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.features(x)  # type: ignore[no-any-return]


class Grid(nn.Module):
    """Features of a 5 x 4 grid, for boxes."""

    out_features = 24

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(shape[0], 12, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(12, 24, 3, stride=2, padding=1),
            nn.ReLU(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.features(x)  # type: ignore[no-any-return]


class Lstm(nn.Module):
    """A bidirectional LSTM, read at the last step."""

    out_features = 16

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(channels, 8, batch_first=True, bidirectional=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rnn(x)[0].mean(dim=1)  # type: ignore[no-any-return]


class Gru(nn.Module):
    """A GRU with a trained initial state, read at the last step."""

    out_features = 12

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rnn = nn.GRU(channels, 12, batch_first=True)
        self.start = nn.Parameter(torch.zeros(1, 1, 12))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rnn(x, self.start.expand(1, x.shape[0], 12).contiguous())[0][:, -1]  # type: ignore[no-any-return]
