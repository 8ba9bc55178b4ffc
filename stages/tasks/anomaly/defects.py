"""Made-up defects in pictures of what is normal: what a network learns to see before it is asked what is new.

After Li et al., "CutPaste: Self-Supervised Learning for Anomaly Detection and Localization" (2021), and Zavrtanik et
al., "DRAEM" (2021): they need not look like real defects; what counts are features that tell where a picture is
disturbed.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812

from stages.augment.draw import uniform

_ROUND, _SQUARE = 2.0, 8.0  # exponents of |x|^p + |y|^p < 1
_THIN_PX = 1.5
_LARGEST = 255.0


@dataclass(frozen=True)
class Defects:
    """What is done to a batch of pictures.

    share    of the pictures that get a defect
    size     largest half axis of a defect, as a part of the picture's shorter side; the least is a sixth of it
    """

    share: float = 0.75
    size: float = 0.25

    def __call__(
        self,
        image_NHWC: torch.Tensor,  # noqa: N803
        generator: torch.Generator,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return float pixels (N, H, W, C) in [0, 255], and where a defect is: float (N, H, W), 0 or 1."""
        pixels = image_NHWC.permute(0, 3, 1, 2).float()
        mask = self._places(pixels, generator)
        soft = F.avg_pool2d(mask[:, None], 3, stride=1, padding=1)
        changed = torch.lerp(pixels, _contents(pixels, generator), soft).clamp(0, _LARGEST)
        return changed.permute(0, 2, 3, 1), mask

    def _places(self, pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return (N, H, W): 1 inside of a turned ellipse, rectangle or line at a random place, 0 elsewhere."""
        count, _, height, width = pixels.shape
        drawn = (uniform(count, 8, generator) + 1) / 2
        y, x, long, short, turn, corners, thin, there = (column.view(-1, 1, 1) for column in drawn.unbind(1))
        largest = self.size * min(height, width)
        long, short = (largest * (1 / 6 + 5 / 6 * part) for part in (long, short))
        short = torch.where(thin < 0.25, torch.full_like(short, _THIN_PX), short)
        down = torch.arange(height, device=pixels.device).view(1, -1, 1) + 0.5 - y * height
        right = torch.arange(width, device=pixels.device).view(1, 1, -1) + 0.5 - x * width
        sine, cosine = (turn * torch.pi).sin(), (turn * torch.pi).cos()
        along, across = (right * cosine + down * sine) / long, (down * cosine - right * sine) / short
        power = torch.where(corners < 0.5, _ROUND, _SQUARE)
        inside = along.abs() ** power + across.abs() ** power < 1
        return (inside & (there < self.share)).float()


def _contents(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return other contents for each picture (N, C, H, W): recoloured, grainy, flat, foreign, magnified or mixed."""
    count, _, height, width = pixels.shape
    strength, shift, which = ((uniform(count, 3, generator) + 1) / 2).view(count, 3, 1, 1, 1).unbind(1)
    mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
    spread = pixels.std(dim=(1, 2, 3), keepdim=True, correction=0) + 1
    offset = (shift * 2 - 1) * spread
    grain = torch.randn(pixels.shape, generator=generator, device=generator.device)
    partner = torch.randperm(count, generator=generator, device=pixels.device)
    other = torch.roll(pixels[partner], (height // 3, width // 3), (2, 3))
    kinds = (
        (pixels - mean) * (0.3 + 1.4 * strength) + mean + 1.5 * offset,
        pixels + grain * spread * (0.3 + 0.7 * strength),
        mean + 2.5 * offset + torch.zeros_like(pixels),
        (other - mean) * (0.6 + 0.8 * strength) + mean + 0.7 * offset,
        _magnified(pixels, 1.5 + 2.5 * strength.flatten()),
        torch.lerp(pixels, other, 0.3 + 0.4 * strength),
    )
    chosen = (which.flatten() * len(kinds)).long().clamp_max(len(kinds) - 1)
    return torch.stack(kinds)[chosen, torch.arange(count, device=pixels.device)]


def _magnified(pixels: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Return the middle of each picture, `factor` (N,) times as large: coarser than the picture is."""
    none = torch.zeros_like(factor)
    theta = torch.stack([1 / factor, none, none, none, 1 / factor, none], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, align_corners=False)
