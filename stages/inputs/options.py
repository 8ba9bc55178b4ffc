"""What options of several kinds of input have in common."""

import torch

from deploy.errors import UsageError


def by_channel(
    kind: str, channels: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and std as float32 tensors of 1 or `channels` values; `UsageError` for others, and for a std of 0."""
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, channels):
            raise UsageError(f"input {kind}: {name} has {len(values)} values, expected 1, or {channels} (channels)")
    if min(std) <= 0:
        raise UsageError(f"input {kind}: std is {std}, expected numbers above 0")
    return torch.tensor(mean), torch.tensor(std)
