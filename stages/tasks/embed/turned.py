"""A class more for each way to turn and mirror a picture: few classes become many, and shapes are what tells them."""

import torch

from deploy.errors import UsageError
from stages.dataset import DataInfo

VIEWS = 8
"""Quarter turns, and quarter turns in a mirror."""


def require_square(info: DataInfo) -> None:
    """Raise `UsageError` for samples that are no pictures, or that are known not to be square."""
    shape = info.sample_shape
    if len(shape) != 3 or (isinstance(shape[0], int) and isinstance(shape[1], int) and shape[0] != shape[1]):
        raise UsageError(
            f"task option 'turned' is for square pictures, and data {info.name!r} has samples {shape}; "
            "set task.turned=false"
        )


def turned(
    image_NHWC: torch.Tensor,  # noqa: N803
    targets: torch.Tensor,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each picture in a view drawn by chance (N, H, W, C), and its class (N,): 8 times its own, plus the view.

    Raises `UsageError` for pictures that are not square.
    """
    height, width = image_NHWC.shape[1:3]
    if height != width:
        raise UsageError(
            f"task option 'turned' is for square pictures, and one of training is {width} x {height} px; "
            "set task.turned=false"
        )
    drawn = torch.randint(VIEWS, (len(targets),), generator=generator, device=generator.device)
    views = image_NHWC.clone()
    for view in range(1, VIEWS):
        rows = drawn == view
        upright = image_NHWC[rows].flip(2) if view >= VIEWS // 2 else image_NHWC[rows]
        views[rows] = upright.rot90(view % 4, (1, 2))
    return views, VIEWS * targets + drawn
