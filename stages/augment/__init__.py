"""Other valid views of a batch, made on the device for all samples at once, each with parameters of its own.

Everything is drawn from one `torch.Generator`: the same seed gives the same views. One file a kind of sample; which one
fits is told by the form of a raw sample: (H, W, C) pictures, (C, T) series.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from deploy.errors import UsageError
from stages.augment.image import ImageAugment
from stages.augment.mix import Mix
from stages.augment.series import SeriesAugment
from stages.dataset import DataInfo

Augment = ImageAugment | SeriesAugment

_BY_AXES: dict[int, type[Any]] = {2: SeriesAugment, 3: ImageAugment}

__all__ = ["Augment", "ImageAugment", "Mix", "SeriesAugment", "fitting"]


def fitting(info: DataInfo, options: Mapping[str, float]) -> Augment | None:
    """Return the views of the kind of samples that `info` has; None when all options are off (0 or False).

    Raises `UsageError` for an option that is on and does not fit this kind, naming those that do.
    """
    wanted = {name: value for name, value in options.items() if value}
    kind = _BY_AXES.get(len(info.sample_shape))
    known = [field.name for field in dataclasses.fields(kind)] if kind else []
    for name in wanted:
        if name not in known:
            fit = f"those that do: {', '.join(known)}" if known else "no option does"
            raise UsageError(
                f"task option {name!r} does not fit data {info.name!r}, whose samples are {info.sample_shape}; {fit}; "
                f"set task.{name} to 0"
            )
    return kind(**wanted) if kind and wanted else None
