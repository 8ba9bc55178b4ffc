"""Maps whose sides halve evenly: pad an input to them, crop what came of it. For networks that take any size."""

import torch
import torch.nn.functional as F  # noqa: N812


def padded(x: torch.Tensor, multiple: int) -> torch.Tensor:
    """Return pictures (N, C, H, W) or volumes (N, C, D, H, W) with sides that are multiples, the last values repeated.

    What is added lies behind the last row, column and slice, so that `cropped` need not know how much it was. Repeated
    values work for any side, even 1, where mirrored ones need more; zeros would put an edge where there is none.
    """
    behind = [amount for side in reversed(x.shape[2:]) for amount in (0, -side % multiple)]
    return F.pad(x, behind, mode="replicate")


def cropped(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return the map without what lies beyond the sides of `like`."""
    return x[(slice(None), slice(None), *(slice(side) for side in like.shape[2:]))]
