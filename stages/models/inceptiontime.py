"""InceptionTime: Fawaz et al., "InceptionTime: Finding AlexNet for Time Series Classification" (2020), figures 1, 2."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from deploy.errors import UsageError
from stages.layers import SameConv1d
from stages.shapes import Series

_SIZES = (40, 20, 10)
_BOTTLENECK = 32


def inceptiontime(
    shape: Series, *, depth: int = 6, filters: int = 32, ensemble: int = 1, dropout: float = 0.0
) -> "InceptionTime":
    """InceptionTime for series of any length: `depth` modules of 4 x `filters` channels, a shortcut around every three.

    `ensemble` nets (the paper: 5) see each series, drawn apart and trained together: their features come out side by
    side, so that the last layer on them adds up what each net's own would say. `dropout` as for the features of `fcn`.
    """
    if depth < 1 or ensemble < 1 or filters < 1:
        raise UsageError(
            f"inceptiontime: depth {depth}, filters {filters}, ensemble {ensemble}: expected 1 or more of each"
        )
    return InceptionTime(shape[0], depth, filters, ensemble, dropout)


class InceptionTime(nn.Module):
    """(N, C, T) -> (N, 4 filters x ensemble)."""

    def __init__(self, channels: int, depth: int, filters: int, ensemble: int, dropout: float) -> None:
        super().__init__()
        self.out_features = 4 * filters * ensemble
        self.nets = nn.ModuleList(Net(channels, depth, filters) for _ in range(ensemble))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features."""
        return self.dropout(torch.cat([net(x).mean(dim=2) for net in self.nets], dim=1))  # type: ignore[no-any-return]


class Net(nn.Module):
    """(N, C, T) -> (N, 4 filters, T): groups of up to three modules, each with a linear shortcut around it."""

    def __init__(self, channels: int, depth: int, filters: int) -> None:
        super().__init__()
        self.groups, self.shortcuts = nn.ModuleList(), nn.ModuleList()
        wide = 4 * filters
        for start in range(0, depth, 3):
            first = channels if start == 0 else wide
            modules = [Inception(first if i == start else wide, filters) for i in range(start, min(start + 3, depth))]
            self.groups.append(nn.Sequential(*modules))
            link = nn.Sequential(nn.Conv1d(first, wide, 1, bias=False), nn.BatchNorm1d(wide))
            self.shortcuts.append(link if len(modules) == 3 else nn.Identity())
        self.whole = [len(group) == 3 for group in self.groups]  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the last map."""
        for group, shortcut, whole in zip(self.groups, self.shortcuts, self.whole, strict=True):
            x = torch.relu(group(x) + shortcut(x)) if whole else group(x)
        return x


class Inception(nn.Module):
    """Convolutions of 40, 20 and 10 samples over a bottleneck of 32 channels, and one of 1 over a max-pool."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        inner = _BOTTLENECK if channels > 1 else channels
        self.bottleneck = nn.Conv1d(channels, inner, 1, bias=False) if channels > 1 else nn.Identity()
        self.branches = nn.ModuleList(SameConv1d(inner, filters, size, bias=False) for size in _SIZES)
        self.pooled = nn.Sequential(MaxPool(), nn.Conv1d(channels, filters, 1, bias=False))
        self.norm = nn.BatchNorm1d(4 * filters)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (N, 4 filters, T)."""
        narrow = self.bottleneck(x)
        parts = [*(branch(narrow) for branch in self.branches), self.pooled(x)]
        return torch.relu(self.norm(torch.cat(parts, dim=1)))


class MaxPool(nn.Module):
    """The largest of three samples; in two dimensions, because torch 2.14 exports MaxPool1d for one fixed length."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (N, C, T) for (N, C, T)."""
        return F.max_pool2d(x.unsqueeze(2), (1, 3), stride=1, padding=(0, 1)).squeeze(2)
