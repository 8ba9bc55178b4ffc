"""Two samples in one: blended (mixup), or a piece of one in the other (cutmix); the target is shared out alike."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812

from deploy.errors import UsageError
from stages.augment.draw import beta, require, uniform, within
from stages.dataset import DataInfo


@dataclass(frozen=True)
class Mix:
    """What is mixed into each sample from another one of its batch; the default mixes nothing.

    mixup     the share of the other sample is drawn from Beta(mixup, mixup): Zhang et al., "mixup" (2017)
    cutmix    the same for the part of the area (of the time, for series) that is the other's: Yun et al. (2019)

    With both, each sample meets one of them by chance. Raises `UsageError` for a value out of range.
    """

    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        require(self, mixup=(0, 100), cutmix=(0, 100))

    def __bool__(self) -> bool:
        return self != Mix()

    def require_fit(self, info: DataInfo) -> None:
        """Raise `UsageError` for samples that cannot be mixed in this way."""
        axes = len(info.sample_shape)
        for name, fits, what in (("mixup", axes > 1, "numbers"), ("cutmix", axes in (2, 3), "pictures or series")):
            if getattr(self, name) and not fits:
                raise UsageError(
                    f"task option {name!r} mixes {what}, and data {info.name!r} has samples {info.sample_shape}; "
                    f"set task.{name} to 0"
                )

    def __call__(
        self, raw: torch.Tensor, targets: torch.Tensor, classes: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return samples as float and targets as shares (N, classes) that sum to 1; targets come as int64 (N,)."""
        count = len(raw)
        partner = torch.randperm(count, generator=generator, device=generator.device)
        blend = beta(count, self.mixup, generator).view(count, *[1] * (raw.dim() - 1)) if self.mixup else None
        piece = self._piece(raw, generator) if self.cutmix else None
        if blend is not None and piece is not None:
            weight = torch.where((uniform(count, 1, generator) < 0).view(blend.shape), blend, piece)
        else:
            weight = piece if blend is None else blend  # type: ignore[assignment]
        mine = raw.to(weight.dtype)
        one_hot = F.one_hot(targets, classes).to(weight.dtype)
        share = weight.flatten(1).mean(dim=1, keepdim=True)
        return torch.lerp(mine, mine[partner], weight), torch.lerp(one_hot, one_hot[partner], share)

    def _piece(self, raw: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return 1 where the other sample is seen and 0 elsewhere: (N, 1, T) for series, (N, H, W, 1) for pictures."""
        part = beta(len(raw), self.cutmix, generator)[:, None]
        centre = (uniform(len(raw), 2, generator) + 1) / 2
        if raw.dim() == 3:
            return within(centre[:, :1], part / 2, raw.shape[2])[:, None].to(part.dtype)
        rows, columns = (within(centre[:, i : i + 1], part.sqrt() / 2, raw.shape[1 + i]) for i in (0, 1))
        return (rows[:, :, None] & columns[:, None])[..., None].to(part.dtype)
